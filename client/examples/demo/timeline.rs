//! What the audience sees while it happens: one line per event, and a progress bar below if there is a terminal.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    bar: ProgressBar,
    total: u64,
    /// The last tenth that was announced, where no bar can be drawn.
    announced: Cell<u64>,
    pub verbose: bool,
}

impl Timeline {
    pub fn new(total: u64, verbose: bool) -> Timeline {
        // It hides itself when standard error is no terminal.
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template(
            "{elapsed_precise} [{bar:40}] {pos}/{len} operations {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Timeline {
            start: Instant::now(),
            bar,
            total,
            announced: Cell::new(0),
            verbose,
        }
    }

    pub fn say(&self, actor: &str, text: &str) {
        let at = self.start.elapsed().as_secs_f64();
        self.bar
            .suspend(|| println!("{at:7.2} s  {actor:<10}  {text}"));
    }

    /// Something that happens all the time.
    pub fn whisper(&self, actor: &str, text: &str) {
        if self.verbose {
            self.say(actor, text);
        }
    }

    pub fn progress(&self, closed: u64, refused: u64) {
        self.bar.set_position(closed.min(self.total));
        self.bar.set_message(format!("({refused} refused)"));
        let tenth = closed * 10 / self.total.max(1);
        if self.bar.is_hidden() && tenth > self.announced.replace(tenth) {
            let text = format!("{closed} operations are closed, {refused} of them refused");
            self.say("progress", &text);
        }
    }

    /// Takes the bar away.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
