//! `volguard top`: a live screen, which reads the views alone.

mod draw;
mod feed;
mod keys;
mod room;
mod state;

use self::feed::{Feed, Update};
use self::keys::{After, handle};
use self::state::State;
use crate::args::{Database, Top};
use crate::error::Failure;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType};
use ratatui::{DefaultTerminal, init, restore};
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::isatty;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) async fn top(database: &Database, asked: &Top) -> Result<ExitCode, Failure> {
    if !isatty(rustix::stdio::stdin()) || !isatty(rustix::stdio::stdout()) {
        return Err(Failure::Usage("top needs a terminal; see status, waiters and events".to_owned()));
    }
    let mut state = State::new(asked.filter.clone());
    let feed = Feed::start(database, asked.interval.max(SHORTEST), state.request()).await?;
    let screen = init();
    let ended = run(screen, &mut state, feed).await;
    restore();
    ended
}

async fn run(mut screen: DefaultTerminal, state: &mut State, mut feed: Feed) -> Result<ExitCode, Failure> {
    let handler = |kind| signal(kind).map_err(Failure::system("a signal handler"));
    let (mut term, mut hang_up) = (handler(SignalKind::terminate())?, handler(SignalKind::hangup())?);
    // From others: what is typed is a key.
    let (mut interrupt, mut quit) = (handler(SignalKind::interrupt())?, handler(SignalKind::quit())?);
    let mut keys = keyboard();
    loop {
        screen.draw(|frame| draw::draw(frame, state)).map_err(Failure::system("the terminal"))?;
        tokio::select! {
            event = keys.recv() => {
                // The terminal is gone.
                let Some(event) = event else { return Ok(ExitCode::SUCCESS) };
                // All that has come, before the screen is drawn again: a text that was pasted is many keys.
                let mut next = Some(event);
                while let Some(event) = next {
                    match handle(state, &event) {
                        After::Nothing => {}
                        After::Ask => feed.ask(state.request()),
                        After::Suspend => screen = suspended()?,
                        After::Quit => return Ok(ExitCode::SUCCESS),
                    }
                    next = keys.try_recv().ok();
                }
            }
            update = feed.next() => state.take(update),
            // The screen says for how long the connection is lost.
            () = sleep(Duration::from_secs(1)), if state.is_lost() => {}
            _ = term.recv() => return Ok(ExitCode::from(128 + 15)),
            _ = hang_up.recv() => return Ok(ExitCode::from(128 + 1)),
            _ = interrupt.recv() => return Ok(ExitCode::from(128 + 2)),
            _ = quit.recv() => return Ok(ExitCode::from(128 + 3)),
        }
    }
}

/// What is typed, and changes of the size. The thread ends with the process.
fn keyboard() -> UnboundedReceiver<Event> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || while event::read().is_ok_and(|event| sender.send(event).is_ok()) {});
    receiver
}

/// Stops the process and its group, as Ctrl-Z does outside of a screen: the kernel refuses if no shell would continue
/// it. Returns the screen then, or when it is continued.
fn suspended() -> Result<DefaultTerminal, Failure> {
    restore();
    execute!(std::io::stdout(), Show).map_err(Failure::system("the terminal"))?;
    kill_current_process_group(Signal::TSTP).map_err(Failure::system("SIGTSTP"))?;
    let screen = init();
    // The screen's own way asks the terminal where the cursor is, whose answer the thread of the keyboard would read.
    execute!(std::io::stdout(), Clear(ClearType::All)).map_err(Failure::system("the terminal"))?;
    Ok(screen)
}

impl State {
    fn take(&mut self, update: Update) {
        match update {
            Ok(snapshot) => self.show(snapshot),
            Err(problem) => self.lose(problem),
        }
    }
}
