//! One kill and one promotion, as measured and judged.

use std::collections::HashSet;
use std::time::Duration;

use super::cluster::{FailOver, NAMES};
use crate::history::{Act, Answer, Call, Change, History};

/// One round of a drill.
#[derive(Debug, Clone)]
pub struct Round {
    /// The server that was killed.
    pub killed: &'static str,
    /// The server that took its place.
    pub promoted: &'static str,
    /// From the kill until the new primary took writes.
    pub until_promoted: Duration,
    /// From the kill until a client had a lock that it had asked for after the kill; `None` if none had.
    pub until_first_lock: Option<Duration>,
    /// Acknowledged acquires, writes and releases of this round, before the kill.
    pub acknowledged: usize,
    /// How many of them the last primary has not.
    pub lost: usize,
}

/// The rounds, for these fail-overs of a history.
pub(super) fn rounds(fail_overs: &[FailOver], history: &History) -> Vec<Round> {
    let kept = Kept::of(history);
    let mut begun = 0;
    let round = |fail_over: &FailOver| {
        let FailOver { killed, promoted, killed_at, dead_at, promoted_at } = *fail_over;
        let since = |at: u64| Duration::from_nanos(at.saturating_sub(killed_at));
        let answered = |call: &&Call| call.answered.is_some_and(|at| (begun..dead_at).contains(&at));
        let known: Vec<bool> = history.calls.iter().filter(answered).filter_map(|call| kept.has(call)).collect();
        begun = dead_at;
        Round {
            killed: NAMES[killed],
            promoted: NAMES[promoted],
            until_promoted: since(promoted_at),
            until_first_lock: first_lock(&history.calls, dead_at).map(since),
            acknowledged: known.len(),
            lost: known.iter().filter(|kept| !**kept).count(),
        }
    };
    fail_overs.iter().map(round).collect()
}

fn first_lock(calls: &[Call], asked_after: u64) -> Option<u64> {
    let after = calls.iter().filter(|call| call.asked > asked_after);
    after.filter(|call| matches!(call.answer, Answer::Token(_))).filter_map(|call| call.answered).min()
}

/// What the last primary has.
struct Kept<'a> {
    taken: HashSet<i64>,
    freed: HashSet<i64>,
    written: HashSet<&'a uuid::Uuid>,
}

impl<'a> Kept<'a> {
    fn of(history: &'a History) -> Self {
        let mut kept = Self { taken: HashSet::new(), freed: HashSet::new(), written: HashSet::new() };
        for entry in &history.journal {
            match &entry.change {
                Change::Taken { token, .. } => _ = kept.taken.insert(*token),
                Change::Freed { token, .. } => _ = kept.freed.insert(*token),
                Change::Wrote { write, .. } => _ = kept.written.insert(write),
                _ => {}
            }
        }
        kept
    }

    /// Whether it has the effect of a call that was acknowledged; `None` for any other call.
    fn has(&self, call: &Call) -> Option<bool> {
        match (&call.act, call.answer) {
            (Act::Acquire { .. }, Answer::Token(token)) => Some(self.taken.contains(&token)),
            (Act::Write { write, .. }, Answer::Written) => Some(self.written.contains(write)),
            (Act::Release { token, .. }, Answer::Released) => Some(self.freed.contains(token)),
            _ => None,
        }
    }
}
