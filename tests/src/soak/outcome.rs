//! The outcome of a run, for people.

use std::collections::HashMap;
use std::path::PathBuf;
use std::{fmt, fs};

use super::WorkTally;
use super::storm::Faults;
use crate::history::{Act, Answer, Change, History, Offence, Rule};

/// Offences beyond this number are only counted: one lost guard breaks every rule a thousand times.
const SHOWN: usize = 10;

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome {
    pub(super) seed: u64,
    pub(super) processes: usize,
    /// The calls and events, by kind.
    pub tally: Tally,
    pub(super) faults: Faults,
    /// The offences that the judge found.
    pub offences: Vec<Offence>,
    /// The directory of the clients' logs, if there are offences.
    pub(super) logs: Option<PathBuf>,
}

/// The number of calls and events, by kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// All calls.
    pub calls: usize,
    /// Acquires with the answer that the lock was taken.
    pub acquired: usize,
    /// Acquires with the answer that it was not free.
    pub not_free: usize,
    /// Confirmed writes.
    pub written: usize,
    /// Refused writes.
    pub refused: usize,
    /// Requests with the answer that several locks were taken.
    pub sets: usize,
    /// Confirmed releases.
    pub released: usize,
    /// Calls without an answer.
    pub unanswered: usize,
    /// Services that were fenced or have stopped.
    pub ended: usize,
    /// Entries of the journal.
    pub entries: usize,
    /// Submitted work.
    pub work: WorkTally,
}

const LOCKS: fn(&Act) -> bool = |act| matches!(act, Act::Acquire { .. });
const WRITES: fn(&Act) -> bool = |act| matches!(act, Act::Write { .. });

impl Tally {
    pub(super) fn of(history: &History) -> Self {
        let count = |asked: fn(&Act) -> bool, wanted: fn(&Answer) -> bool| {
            history.calls.iter().filter(|call| asked(&call.act) && wanted(&call.answer)).count()
        };
        Self {
            calls: history.calls.len(),
            acquired: count(LOCKS, |answer| matches!(answer, Answer::Token(_))),
            not_free: count(LOCKS, |answer| *answer == Answer::NotFree),
            written: count(WRITES, |answer| *answer == Answer::Written),
            refused: count(WRITES, |answer| *answer == Answer::Refused),
            sets: sets(history),
            released: count(|act| matches!(act, Act::Release { .. }), |answer| *answer == Answer::Released),
            // A dropped lock is released without an answer, but its question is counted: most of these are releases.
            unanswered: (history.calls.iter())
                .filter(|call| call.answer == Answer::Nothing)
                .filter(|call| matches!(call.act, Act::Acquire { .. } | Act::Write { .. }))
                .count(),
            ended: (history.journal.iter()).filter(|entry| matches!(entry.change, Change::Ended { .. })).count(),
            entries: history.journal.len(),
            work: WorkTally::of(&history.journal),
        }
    }
}

fn sets(history: &History) -> usize {
    let mut locks = HashMap::<_, usize>::new();
    for call in &history.calls {
        if let (Act::Acquire { request, .. }, Answer::Token(_)) = (&call.act, call.answer) {
            *locks.entry(request).or_default() += 1;
        }
    }
    locks.values().filter(|locks| **locks > 1).count()
}

impl Outcome {
    /// Removes what was kept for an analysis, when the caller knows the reason.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn forget(self) -> anyhow::Result<()> {
        match self.logs {
            Some(logs) => Ok(fs::remove_dir_all(logs)?),
            None => Ok(()),
        }
    }

    /// How often this rule was broken.
    #[must_use]
    pub fn breaches(&self, rule: Rule) -> usize {
        let of_rule = |offence: &&Offence| offence.rule == rule;
        self.offences.iter().filter(of_rule).count()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { calls, acquired, not_free, sets, written, refused, released, unanswered, ended, entries, work } =
            self.tally;
        writeln!(f, "{calls} operations of {} processes, {entries} entries in the journal", self.processes)?;
        writeln!(
            f,
            "  locks     {acquired} acquired, {not_free} not free, {released} released; {ended} services ended
            {sets} times several at once"
        )?;
        writeln!(f, "  writes    {written} written, {refused} refused")?;
        if work.submitted > 0 {
            writeln!(f, "{work}")?;
        }
        writeln!(f, "  {unanswered} acquires and writes without an answer")?;
        writeln!(f, "{} faults", self.faults.values().sum::<u64>())?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:4} {fault}")?;
        }
        for offence in self.offences.iter().take(SHOWN) {
            writeln!(f, "{offence}")?;
        }
        if let Some(logs) = &self.logs {
            writeln!(f, "what the clients wrote down: {}", logs.display())?;
        }
        write!(f, "{} violations (seed {})", self.offences.len(), self.seed)
    }
}
