//! What happened, told by both sides, and a judge.
//!
//! Clients write down what they ask and what they are answered ([`Log`], one file a process). What took effect, and in which
//! order, is read from the database's own log ([`journal`]). [`check()`] compares the two and knows nothing of servers.

mod call;
mod check;
mod entry;
pub mod journal;
mod log;
mod offence;

pub use call::{Act, Answer, Call};
pub use check::check;
pub use entry::{Change, Entry};
pub use log::{Log, Question, calls};
pub use offence::{Offence, Rule};

/// What both sides told.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By the clients, in any order.
    pub calls: Vec<Call>,
    /// By the database, in its order.
    pub journal: Vec<Entry>,
}
