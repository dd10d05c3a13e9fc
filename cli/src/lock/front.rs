//! The process that was called: it runs the command, passes signals on, and ends the command by its own clock.

mod events;
mod watch;

use self::events::Events;
use super::clock::{nanos, now};
use super::deadline::Deadline;
use super::message::{News, Order};
use super::notice::Notice;
use super::running::{End, Running};
use super::signals::die_by;
use super::terminal::Terminal;
use crate::args::Lock;
use crate::error::Failure;
use crate::tell;
use rustix::process::{Signal, kill_current_process_group, kill_process};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// How long a session may take to give back what it may just have got, after a signal.
const LEAVING: Duration = Duration::from_secs(5);

/// How it ended, and why it was ended if it was.
struct Ended {
    end: End,
    lost: Option<String>,
    /// What was said while it ran.
    notice: Option<Notice>,
}

/// `others` are children of this process that have nothing to do with the command; one of them is the session.
pub(super) fn run(lock: &Lock, session: UnixStream, others: &[i32], deadline: Deadline) -> Result<ExitCode, Failure> {
    let mut events = Events::of(session)?;
    let token = match wait_for_lock(&mut events)? {
        Ok(token) => token,
        Err(signal) => return Ok(ended_by(signal)),
    };
    let mut terminal = Terminal::find();
    let tty = terminal.for_command();
    let started = Running::start(&lock.command, token, events.session(), deadline, tty);
    let mut ended = match started {
        Ok(Ok(running)) => watch::until_ended(running, &mut events, &mut terminal, deadline, others)?,
        Ok(Err((end, why))) => Ended { end, lost: None, notice: Some(Notice::write(why)) },
        Err(failure) => {
            terminal.take_back();
            return Err(failure);
        }
    };
    let had_terminal = terminal.take_back();
    if ended.lost.is_some() || matches!(ended.end, End::Signal(_)) {
        terminal.put_back();
    }
    events.tell(Order::Ended);
    let released = until_released(&mut events, deadline)?;
    // Only now, when the lock is free: there may be no one to read it.
    if let Some(notice) = ended.notice.take() {
        notice.finish();
    }
    verdict(ended, released, had_terminal)
}

/// The token; or the signal that ended the wait.
fn wait_for_lock(events: &mut Events) -> Result<Result<i64, Signal>, Failure> {
    loop {
        let seen = events.wait(None)?;
        let mut granted = None;
        for news in seen.news {
            match news {
                News::Granted { token } => granted = Some(token),
                News::Refused { code, why } => return Err(Failure::Told { code, text: why }),
                // It may have come with the grant, while this process was stopped.
                News::Lost { why, .. } => return Err(not_begun(&why)),
                News::Released { .. } => {}
            }
        }
        for signal in seen.signals {
            match signal {
                Signal::TSTP => _ = kill_process(rustix::process::getpid(), Signal::STOP),
                Signal::WINCH | Signal::USR1 | Signal::USR2 => {}
                _ => {
                    leave(events)?;
                    return Ok(Err(signal));
                }
            }
        }
        if events.session_is_gone() {
            return Err(not_begun("the process of its session has ended"));
        }
        if let Some(token) = granted {
            return Ok(Ok(token));
        }
    }
}

/// The lock is lost, or may be, before the command has begun.
pub(super) fn not_begun(why: &str) -> Failure {
    Failure::Lost(format!("{why}; the command was not run"))
}

/// Has the session give back what it may have got. A second signal ends the wait for it.
fn leave(events: &mut Events) -> Result<(), Failure> {
    events.hang_up();
    let limit = now() + nanos(LEAVING);
    while !events.session_is_gone() && now() < limit {
        if !events.wait(Some(limit))?.signals.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Whether the lock was held to the end of the command, and what the session says to it. The service is deregistered
/// when this returns, if the server answers within the lease.
fn until_released(events: &mut Events, deadline: Deadline) -> Result<(Option<bool>, String), Failure> {
    let mut answer = (None, "the session did not say".to_owned());
    // News of a loss come first, and move the deadline then.
    while !events.session_is_gone() {
        let seen = events.wait(Some(deadline.get()))?;
        for news in seen.news {
            answer = answered(news).unwrap_or(answer);
        }
        if deadline.has_passed() {
            break;
        }
        if seen.signals.iter().any(|signal| [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(signal)) {
            break;
        }
    }
    Ok(answer)
}

/// Whether the lock was held, if the news say anything about it. A lease that is over says nothing of a command that
/// has ended before.
fn answered(news: News) -> Option<(Option<bool>, String)> {
    match news {
        News::Released { held, why } => Some((held, why)),
        News::Lost { is_taken, why } => Some((is_taken.then_some(false), why)),
        News::Granted { .. } | News::Refused { .. } => None,
    }
}

fn verdict(ended: Ended, released: (Option<bool>, String), had_terminal: bool) -> Result<ExitCode, Failure> {
    match (ended.lost, released) {
        (Some(why), _) => return Err(Failure::Lost(format!("{why}; the command was ended"))),
        (None, (Some(false), why)) => return Err(Failure::Lost(why)),
        (None, (None, why)) => {
            tell(&format!("the command has ended; the lock may not be free before its lease is over: {why}"));
        }
        (None, (Some(true), _)) => {}
    }
    match ended.end {
        End::Code(code) => {
            if Failure::is_own(code) {
                tell(&format!("the command itself has ended with the code {code}"));
            }
            Ok(ExitCode::from(code))
        }
        End::Signal(number) => {
            let signal = Signal::from_named_raw(number);
            if let (Some(signal @ (Signal::INT | Signal::QUIT)), true) = (signal, had_terminal) {
                // The terminal would have sent it to this process and its caller as well.
                let _ = kill_current_process_group(signal);
                return Ok(ended_by(signal));
            }
            Ok(ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX)))
        }
    }
}

/// Ends this process by the signal. Where that is not possible, the code says it.
fn ended_by(signal: Signal) -> ExitCode {
    die_by(signal);
    ExitCode::from(u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The news of it may cross with those of the command's end.
    #[test]
    fn a_lock_that_was_taken_away_is_no_success() {
        let code = |news| {
            let ended = Ended { end: End::Code(0), lost: None, notice: None };
            verdict(ended, answered(news).unwrap(), false).map_err(|failure| failure.code())
        };
        let why = String::new;
        assert_eq!(code(News::Lost { is_taken: true, why: why() }), Err(113));
        assert_eq!(code(News::Released { held: Some(false), why: why() }), Err(113));
        for held in [Some(true), None] {
            code(News::Released { held, why: why() }).unwrap();
        }
        code(News::Lost { is_taken: false, why: why() }).unwrap();
    }
}
