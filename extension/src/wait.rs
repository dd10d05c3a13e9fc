//! Waiting for a key, in order and without polling.
//!
//! A call that waits for a key takes the key's wait [`queue`]: a heavyweight lock, which Postgres grants first come,
//! first served. The call that has it is the head. The head tries the insert, and sleeps on its latch if the key is
//! held. A release looks up the head and sets that latch after its commit ([`wake`]). Each wait for a lock is bounded
//! by the time left ([`deadline`]), and ends when the client closes the connection ([`client`]).
//!
//! A call that waits for work, whatever the resource, holds [`bell`]s instead of a queue.
//!
//! Calls under one request id take turns ([`request_turn`]).
//!
//! A call that waits is [`present`]: it has a [`seat`], and a [`note`] that other sessions read ([`sessions`],
//! [`lock_table`]).

pub mod bell;
pub mod client;
pub mod deadline;
pub mod lock_table;
pub mod note;
pub mod present;
pub mod queue;
pub mod request_turn;
pub mod seat;
pub mod sessions;
pub mod tag;
pub mod wake;

pub use deadline::Deadline;
pub use present::Present;
pub use queue::WaitQueue;
pub use request_turn::RequestTurn;
