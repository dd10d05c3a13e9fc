//! What happened, recorded by clients and database, and a judge.
//!
//! Clients record their questions and answers ([`Log`], one file for each process). The effects,
//! and their order, are read from the database's own log ([`journal`]), or from the journal of a
//! storage, which has the same form. [`check()`] compares the two and knows nothing of servers.

mod call;
mod check;
mod ending;
mod entry;
pub mod journal;
mod log;
mod offence;
pub mod replicated;

pub use call::{Act, Answer, Call, Finish};
pub use check::{check, check_journal, check_numbers};
pub use ending::Ending;
pub use entry::{Change, Entry, Piece};
pub use log::{Log, Question, calls};
pub use offence::{Offence, Rule};

/// The two records, and the end.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Recorded by the clients, in any order.
    pub calls: Vec<Call>,
    /// Recorded by the database or the storage, in its order.
    pub journal: Vec<Entry>,
    /// What was found at the end.
    pub endings: Vec<Ending>,
}
