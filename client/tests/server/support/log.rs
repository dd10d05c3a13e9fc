//! What the client logs.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once};

use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::{LONG, MOMENT};

/// Warnings and errors of this thread: that of the test, with all tasks of its runtime.
pub(crate) struct Log {
    lines: Lines,
}

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

thread_local! {
    /// Where the events of this thread go.
    static LINES: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

impl Log {
    /// One subscriber serves all threads. With one for each test, `tracing` may ask the thread of another test, which
    /// has none, whether an event is wanted, and remember its answer for all.
    pub(crate) fn listen() -> Log {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(Listener);
            tracing::subscriber::set_global_default(subscriber).expect("there is no other");
        });
        let lines = Lines::default();
        LINES.set(Some(Arc::clone(&lines)));
        Log { lines }
    }

    /// All so far.
    pub(crate) fn lines(&self) -> Vec<(Level, String)> {
        self.lines.lock().unwrap().clone()
    }

    /// How many of this level have this text in them.
    pub(crate) fn count(&self, level: Level, text: &str) -> usize {
        self.lines().iter().filter(|(of, line)| *of == level && line.contains(text)).count()
    }

    /// Returns when there are as many.
    pub(crate) async fn until(&self, level: Level, text: &str, count: usize) {
        let there = async {
            while self.count(level, text) < count {
                sleep(MOMENT / 10).await;
            }
        };
        timeout(LONG, there).await.unwrap_or_else(|_| panic!("no {count} {text:?} in {:?}", self.lines()));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level <= Level::WARN && event.metadata().target().starts_with("volguard") {
            let mut line = Line::default();
            event.record(&mut line);
            LINES.with_borrow(|lines| {
                if let Some(lines) = lines {
                    lines.lock().unwrap().push((level, line.0));
                }
            });
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
