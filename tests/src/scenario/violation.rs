//! What must never happen.

use std::time::Duration;

/// A broken promise that a test scenario has seen. A scenario that could not be played to its end fails otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Two were inside at once.
    #[error("two hold {key} at once: {tokens:?}")]
    TwoHolders {
        /// The key.
        key: String,
        /// Their tokens.
        tokens: [i64; 2],
    },
    /// Somebody's read-then-write under the lock was overwritten.
    #[error("{key} was visited {visits} times, but {counted} were counted")]
    LostUpdate {
        /// The key.
        key: String,
        /// How often it was held.
        visits: u64,
        /// How many of these the counter shows.
        counted: u64,
    },
    /// A later holder has a token that is not larger.
    #[error("{key}: token {later} came after {earlier}")]
    TokenWentBack {
        /// The key.
        key: String,
        /// The token that was first.
        earlier: i64,
        /// The token that came after it.
        later: i64,
    },
    /// What must not wait has waited, or the other way round.
    #[error("{0}")]
    Waiting(&'static str),
    /// Callers waited for each other in a circle.
    #[error("a deadlock: {0}")]
    Deadlock(String),
    /// One hardly had a turn while others had many.
    #[error("served {served} times, while others were served {others} times each")]
    Starved {
        /// How often it was served.
        served: usize,
        /// How often each of the others was.
        others: usize,
    },
    /// Later than promised.
    #[error("{what} took {took:?} of {limit:?} at most")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long it took.
        took: Duration,
        /// How long it may take.
        limit: Duration,
    },
    /// Before its time.
    #[error("{0}")]
    Early(String),
    /// The line was not served in order.
    #[error("served in the order {0:?}")]
    OutOfTurn(Vec<usize>),
    /// The lock of a resource and its status, which change together.
    #[error("lock and status are apart: {0}")]
    Apart(String),
    /// A lock, a wait or a connection that nobody knows of any more.
    #[error("left behind: {0}")]
    LeftBehind(String),
    /// A lock that was handed out is gone.
    #[error("{0}")]
    Forgotten(String),
    /// Somebody did what a dead service, or a stranger, can't do.
    #[error("{act}: expected {expected}, got {got}")]
    Trespass {
        /// What was tried.
        act: String,
        /// How it should have been answered.
        expected: String,
        /// How it was.
        got: String,
    },
    /// Work of a crashed service was repaired more than once, or never.
    #[error("{0}")]
    NotOnce(String),
    /// A change slipped between a check and the commit that it guards.
    #[error("{0}")]
    SlippedThrough(&'static str),
}

impl Violation {
    /// What a scenario came to, as a negative test wants it.
    ///
    /// # Panics
    /// If the scenario saw nothing wrong, or did not get to its end.
    #[must_use]
    pub fn expected_in(result: anyhow::Result<()>) -> Self {
        match result {
            Ok(()) => panic!("without its guard the scenario must see a violation, but saw none"),
            Err(error) => error
                .downcast::<Self>()
                .unwrap_or_else(|error| panic!("the scenario did not get to its end: {error:?}")),
        }
    }
}
