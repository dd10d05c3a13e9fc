//! What the client logs.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::{LONG, MOMENT};

/// Warnings and errors of this thread: that of the test, with all tasks of its runtime.
pub(crate) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

impl Log {
    pub(crate) fn listen() -> Log {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(Listener(Arc::clone(&lines)));
        Log { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// All so far.
    pub(crate) fn lines(&self) -> Vec<(Level, String)> {
        self.lines.lock().unwrap().clone()
    }

    /// How many of this level have this text in them.
    pub(crate) fn count(&self, level: Level, text: &str) -> usize {
        self.lines().iter().filter(|(of, line)| *of == level && line.contains(text)).count()
    }

    /// Returns when there is one.
    pub(crate) async fn until(&self, level: Level, text: &str) {
        let there = async {
            while self.count(level, text) == 0 {
                sleep(MOMENT / 10).await;
            }
        };
        timeout(LONG, there).await.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.lines()));
    }
}

struct Listener(Lines);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level <= Level::WARN && event.metadata().target().starts_with("volguard") {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().unwrap().push((level, line.0));
        }
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}
