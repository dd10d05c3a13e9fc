//! Releases that did not wait for the disk: a crash of the server may undo those of its last moments, and only those; and the
//! session that was told of such a release has to repeat it.

use std::collections::HashMap;
use std::fmt::Display;

use super::super::{Act, Answer, Call, Change, Crash, Entry, History, Offence, Rule};
use super::Index;
use super::time::Frontier;

/// The first heartbeat after a crash has the release repeated. A connection that breaks over that costs it another.
const HEARTBEATS: usize = 6;

/// What was certainly on disk at which moment.
pub(super) struct Disk<'a> {
    crashes: &'a [Crash],
    /// Commits that were waited for: when they were asked for, and when the earliest of these and all later ones was answered.
    flushes: Vec<(u64, u64)>,
}

impl<'a> Disk<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let waited_for = history.calls.iter().filter(|call| is_flushed(call));
        let mut flushes: Vec<_> = waited_for
            .filter_map(|call| Some((call.asked, call.answered?)))
            .collect();
        flushes.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, answered) in flushes.iter_mut().rev() {
            earliest = earliest.min(*answered);
            *answered = earliest;
        }
        Self {
            crashes: &history.crashes,
            flushes,
        }
    }

    /// Whether what this call was told can't have been undone: no crash came, or before it something was flushed that was
    /// asked for when the call was over.
    pub(super) fn has(&self, call: &Call) -> bool {
        let Some(answered) = call.answered.filter(|_| is_relaxed(call)) else {
            return true;
        };
        let next = self
            .crashes
            .partition_point(|crash| crash.down < call.asked);
        let Some(crash) = self.crashes.get(next) else {
            return true;
        };
        let later = self.flushes.partition_point(|(asked, _)| *asked < answered);
        self.flushes
            .get(later)
            .is_some_and(|(_, flushed)| *flushed < crash.began)
    }
}

fn is_relaxed(call: &Call) -> bool {
    matches!(call.act, Act::Release { relaxed: true, .. })
}

fn is_flushed(call: &Call) -> bool {
    match call.answer {
        Answer::Token(_) | Answer::Written => true,
        Answer::Released => !is_relaxed(call),
        _ => false,
    }
}

/// A living session is to have seen to it before it has had so many heartbeats.
pub(super) fn check(history: &History, index: &Index<'_>, over: &Frontier<'_>) -> Vec<Offence> {
    let lives = Lives::of(&history.journal);
    let told = |call: &&Call| is_relaxed(call) && call.answer == Answer::Released;
    let late = history.calls.iter().filter(told).filter_map(|call| {
        let Act::Release { token, .. } = call.act else {
            return None;
        };
        let freed = *index.freed.get(&token)?;
        let asked = over.before(call.asked).map_or(0, |(_, entry)| entry.turn);
        let heartbeats = lives.heartbeats(token, asked, freed.turn);
        (heartbeats > HEARTBEATS).then(|| {
            let events: [&dyn Display; 2] = [call, freed];
            Offence::new(Rule::UndoneReleasesAreRepeated, events)
        })
    });
    late.collect()
}

/// Who holds a token, and when the server heard from whom.
struct Lives {
    services: HashMap<i64, i64>,
    heartbeats: HashMap<i64, Vec<u64>>,
}

impl Lives {
    fn of(journal: &[Entry]) -> Self {
        let (mut services, mut heartbeats) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for entry in journal {
            match entry.change {
                Change::Taken { token, service, .. } => drop(services.insert(token, service)),
                Change::Lives { service } => {
                    heartbeats.entry(service).or_default().push(entry.turn);
                }
                _ => {}
            }
        }
        Self {
            services,
            heartbeats,
        }
    }

    fn heartbeats(&self, token: i64, after: u64, before: u64) -> usize {
        let service = self.services.get(&token);
        let turns = service.and_then(|service| self.heartbeats.get(service));
        turns.map_or(0, |turns| {
            let until = turns.partition_point(|turn| *turn < before);
            until.saturating_sub(turns.partition_point(|turn| *turn <= after))
        })
    }
}
