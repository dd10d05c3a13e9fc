//! Waiting for a key, in order and without polling.
//!
//! Who waits for a key takes its [`mod@line`]: a heavyweight lock that Postgres queues first come, first served. Whoever has
//! it is the head, tries the insert, and sleeps on its latch. A release looks the head up and sets that latch after its
//! commit ([`wake`]), which is visible before it is on disk ([`hand_over`]). Each wait for a lock is bounded by the time left ([`deadline`]), and ends when the client hangs up ([`client`]).

pub mod client;
pub mod deadline;
pub mod queue;
pub mod tag;
pub mod wake;

pub use deadline::Deadline;
pub use queue::WaitQueue;
