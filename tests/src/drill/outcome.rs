//! The outcome of a drill, as a table.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Mode, Round};
use crate::history::Offence;

/// Offences beyond this number are only counted: one lost guard breaks every rule a thousand times.
const SHOWN: usize = 5;

/// The outcome of a drill.
#[derive(Debug)]
pub struct Outcome {
    /// Who promoted, and what the standbys had.
    pub mode: Mode,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// The number of calls of all clients.
    pub calls: usize,
    /// The number of services that were registered.
    pub services: usize,
    /// What is wrong.
    pub offences: Vec<Offence>,
    /// The directory of the clients' logs, if there are offences.
    pub logs: Option<PathBuf>,
}

impl Outcome {
    /// How many acknowledged calls were lost.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.rounds.iter().map(|round| round.lost).sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.mode)?;
        writeln!(f, "| round | killed, promoted | promoted after | first lock after | acknowledged calls | lost |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (number, round) in self.rounds.iter().enumerate() {
            let Round { killed, promoted, acknowledged, lost, .. } = round;
            let until_promoted = seconds(round.until_promoted);
            let until_first_lock = round.until_first_lock.map_or("never".to_owned(), seconds);
            writeln!(
                f,
                "| {} | {killed}, {promoted} | {until_promoted} | {until_first_lock} | {acknowledged} | {lost} |",
                number + 1
            )?;
        }
        for offence in self.offences.iter().take(SHOWN) {
            writeln!(f, "{offence}")?;
        }
        if let Some(logs) = &self.logs {
            writeln!(f, "what the clients wrote down: {}", logs.display())?;
        }
        if !self.mode.is_synchronous() {
            writeln!(f, "judged: tokens, service ids and what is left; acknowledged calls may be lost here")?;
        }
        let Self { calls, services, .. } = self;
        write!(f, "{calls} calls of {services} services, {} lost, {} violations", self.lost(), self.offences.len())
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
