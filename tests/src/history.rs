//! What happened, told by both sides, and a judge.
//!
//! Clients write down what they ask and what they are answered ([`Log`], one file a process). What took effect, and
//! in which order, is read from the database's own log ([`journal`]), or from the journal of a storage, which is kept
//! in the same terms. [`check()`] compares the two and knows nothing of servers.

mod call;
mod check;
mod ending;
mod entry;
pub mod journal;
mod log;
mod offence;

pub use call::{Act, Answer, Call};
pub use check::check;
pub use ending::Ending;
pub use entry::{Change, Entry};
pub use log::{Log, Question, calls};
pub use offence::{Offence, Rule};

/// What both sides told.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By the clients, in any order.
    pub calls: Vec<Call>,
    /// By the database or the storage, in its order.
    pub journal: Vec<Entry>,
    /// What was found when everything was over.
    pub endings: Vec<Ending>,
}
