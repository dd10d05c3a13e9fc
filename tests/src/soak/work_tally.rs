//! What became of submitted work, for people.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::history::{Change, Entry, Finish};

/// How many pieces of work there were, and what became of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkTally {
    /// Submitted.
    pub submitted: usize,
    /// Done.
    pub done: usize,
    /// Refused by the service that had taken it.
    pub refused: usize,
    /// Undone, by the rule or by a service that had claimed it.
    pub rolled_back: usize,
    /// Cancelled while it waited.
    pub cancelled: usize,
    /// Not ended.
    pub left: usize,
    /// How often a piece was taken.
    pub taken: usize,
    /// How often a service passed a piece on.
    pub passed_on: usize,
    /// How often a piece went back into its queue after a crash.
    pub retried: usize,
    /// How often a service gave a piece back.
    pub given_back: usize,
    /// How often a piece was claimed.
    pub claimed: usize,
}

impl WorkTally {
    pub(super) fn of(journal: &[Entry]) -> Self {
        let mut tally = Self::default();
        let (mut pieces, mut dead) = (HashMap::new(), HashSet::new());
        for entry in journal {
            match &entry.change {
                Change::Work { key, piece } => {
                    let Some(before) = pieces.insert(key, piece) else {
                        tally.submitted += 1;
                        continue;
                    };
                    *match (before.service, piece.service) {
                        (None, _) => &mut tally.taken,
                        (Some(_), None) if piece.attempt > before.attempt => &mut tally.retried,
                        (Some(_), None) if piece.status != before.status => &mut tally.passed_on,
                        (Some(_), None) => &mut tally.given_back,
                        (Some(_), Some(service)) if !dead.contains(&service) => &mut tally.claimed,
                        // The end of a claim.
                        (Some(_), Some(_)) => continue,
                    } += 1;
                }
                Change::WorkEnded { key, .. } => drop(pieces.remove(key)),
                Change::Status { how: Some(how), .. } => {
                    *match how {
                        Finish::Done => &mut tally.done,
                        Finish::Refused => &mut tally.refused,
                        Finish::RolledBack => &mut tally.rolled_back,
                        Finish::Cancelled => &mut tally.cancelled,
                    } += 1;
                }
                Change::Ended { service } => _ = dead.insert(*service),
                _ => {}
            }
        }
        tally.left = pieces.len();
        tally
    }
}

impl fmt::Display for WorkTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { submitted, done, refused, rolled_back, cancelled, left, .. } = self;
        let Self { taken, passed_on, retried, given_back, claimed, .. } = self;
        writeln!(
            f,
            "  work      {submitted} submitted = {done} done + {refused} refused + {rolled_back} rolled back + {cancelled} cancelled + {left} left"
        )?;
        write!(
            f,
            "            {taken} times taken, {passed_on} passed on, {retried} tried again, {given_back} given back, {claimed} claimed"
        )
    }
}
