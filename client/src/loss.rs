//! Why what a session holds can't be relied on any more.

/// Why a session, or one lock of it, is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// No heartbeat succeeded in time: the lease may expire on the server, and other services may clean up.
    #[error("no heartbeat succeeded before the lease could end")]
    LeaseRanOut,
    /// The server said that the service is fenced, or unknown.
    #[error("the server has fenced this service")]
    Fenced,
    /// [`Session::stop`](crate::Session::stop) was called.
    #[error("it was stopped")]
    Stopped,
    /// This lock is not held any more although its session lives: an administrator has released it, or has reset the
    /// resource.
    #[error("the server says that the token is not held")]
    TokenNotHeld,
    /// This lock was released by this process, or its guard was ended or dropped.
    #[error("the lock was released")]
    Released,
}
