//! Dozens of client processes at work on few keys while everything around them fails, and a verdict on the result.
//!
//! [`play`] starts a server, proxies and clients (`src/bin/soak_client.rs`), runs the storm, waits
//! for the calm, and lets [`history`](crate::history) judge the records of clients and database.

mod caller;
mod client;
mod deck;
mod fairness;
mod fleet;
mod hold;
mod options;
mod outcome;
mod play;
mod stage;
mod storm;
mod visit;
mod work_tally;
mod worker;

pub use client::run_client;
pub use deck::Fault;
pub use fairness::{Order, Turns, take_turns};
pub use options::{ClientOptions, Habits, Options};
pub use outcome::{Outcome, Tally};
pub use play::play;
pub use work_tally::WorkTally;

pub(crate) use fleet::Fleet;
pub(crate) use stage::{KEYS, calm_down};
