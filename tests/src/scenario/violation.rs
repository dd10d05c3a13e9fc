//! What must never happen.

use std::time::Duration;

/// A broken promise that a test scenario has seen. A scenario that could not run to its end returns another error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Two holders at once.
    #[error("two hold {key} at once: {tokens:?}")]
    TwoHolders {
        /// The key.
        key: String,
        /// Their tokens.
        tokens: [i64; 2],
    },
    /// A read-then-write under the lock was overwritten.
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
        /// The earlier token.
        earlier: i64,
        /// The token that came after it.
        later: i64,
    },
    /// A number was drawn that is in use, or was drawn elsewhere.
    #[error("a number came back: {0}")]
    NumberInUse(String),
    /// A call waited that must not wait, or the opposite.
    #[error("{0}")]
    Waiting(&'static str),
    /// Calls waited for each other in a circle.
    #[error("a deadlock: {0}")]
    Deadlock(String),
    /// One waiter was rarely served while others were served often.
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
        /// The event that was expected.
        what: &'static str,
        /// How long it took.
        took: Duration,
        /// How long it may take.
        limit: Duration,
    },
    /// Earlier than allowed.
    #[error("{0}")]
    Early(String),
    /// The wait queue was not served in order.
    #[error("served in the order {0:?}")]
    OutOfTurn(Vec<usize>),
    /// The lock of a resource and its status did not change together.
    #[error("lock and status are apart: {0}")]
    Apart(String),
    /// A lock, a wait or a connection without an owner.
    #[error("left behind: {0}")]
    LeftBehind(String),
    /// The server crashed, or ended a session that did nothing wrong.
    #[error("died: {0}")]
    Died(String),
    /// A lock that was handed out is gone.
    #[error("{0}")]
    Forgotten(String),
    /// A call succeeded that a dead service, or a stranger, must not make.
    #[error("{act}: expected {expected}, got {got}")]
    Trespass {
        /// The call.
        act: String,
        /// The expected answer.
        expected: String,
        /// The actual answer.
        got: String,
    },
    /// Work of a crashed service was repaired more than once, or never.
    #[error("{0}")]
    NotOnce(String),
    /// A transaction failed for another one that it has nothing to do with.
    #[error("{0}")]
    Unserializable(String),
    /// A change was committed between a check and the commit that it guards.
    #[error("{0}")]
    SlippedThrough(&'static str),
    /// The library worked with what is not of its version.
    #[error("versions are mixed: {0}")]
    MixedVersions(String),
}

impl Violation {
    /// The violation that a scenario has found, for a negative test.
    ///
    /// # Panics
    /// If the scenario found no violation, or did not run to its end.
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
