//! Waiting for a key, in order and without polling.
//!
//! A call that waits for a key takes the key's wait [`queue`]: a heavyweight lock, which Postgres grants first come,
//! first served. The call that has it is the head. The head tries the insert, and sleeps on its latch if the key is
//! held. A release looks up the head and sets that latch after its commit ([`wake`]). Each wait for a lock is bounded
//! by the time left ([`deadline`]), and ends when the client closes the connection ([`client`]).

pub mod client;
pub mod deadline;
pub mod queue;
pub mod tag;
pub mod wake;

pub use deadline::Deadline;
pub use queue::WaitQueue;
