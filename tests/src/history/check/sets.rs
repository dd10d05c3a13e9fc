//! Calls for several locks: at the end of a transaction that took
//! a lock for such a call, the call holds all of them, or none.
//!
//! A client that doesn't know the result of its statement asks for each of its locks alone,
//! to give back what it gets. So a lock may be taken alone if no client was told that it was.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;

use uuid::Uuid;

use super::super::{Act, Answer, Change, Entry, History, Offence, Rule};

pub(super) fn check(history: &History) -> Vec<Offence> {
    let wanted = wanted(history);
    let mut held = Held::default();
    let transactions = history.journal.chunk_by(|a, b| a.xid == b.xid);
    transactions
        .flat_map(|entries| {
            entries.iter().for_each(|entry| held.apply(entry));
            parts(entries, &wanted, &held)
        })
        .collect()
}

#[derive(Default)]
struct Wanted<'a> {
    keys: BTreeSet<&'a str>,
    /// The tokens that clients were told.
    told: BTreeSet<i64>,
}

fn wanted(history: &History) -> HashMap<Uuid, Wanted<'_>> {
    let mut all = HashMap::<_, Wanted<'_>>::new();
    for call in &history.calls {
        if let Act::Acquire { key, request, .. } = &call.act {
            let wanted = all.entry(*request).or_default();
            wanted.keys.insert(key);
            if let Answer::Token(token) = call.answer {
                wanted.told.insert(token);
            }
        }
    }
    all
}

impl Wanted<'_> {
    /// Whether the keys that are held after these entries are neither all nor none.
    fn is_part(&self, held: &BTreeSet<&str>, taken: &[&Entry]) -> bool {
        // A lock without a request breaks another rule.
        let in_part = !held.is_empty() && held.is_subset(&self.keys) && *held != self.keys;
        in_part && (taken.len() > 1 || taken.iter().any(|entry| self.was_told(entry)))
    }

    fn was_told(&self, taken: &Entry) -> bool {
        matches!(taken.change, Change::Taken { token, .. } if self.told.contains(&token))
    }
}

#[derive(Default)]
struct Held<'a> {
    by_request: HashMap<Uuid, BTreeSet<&'a str>>,
    requests: HashMap<i64, Uuid>,
}

impl<'a> Held<'a> {
    fn apply(&mut self, entry: &'a Entry) {
        match &entry.change {
            Change::Taken { key, token, request, .. } => {
                self.by_request.entry(*request).or_default().insert(key);
                self.requests.insert(*token, *request);
            }
            Change::Freed { key, token } => {
                let request = self.requests.get(token);
                if let Some(keys) = request.and_then(|r| self.by_request.get_mut(r)) {
                    keys.remove(&**key);
                }
            }
            _ => {}
        }
    }
}

fn parts(entries: &[Entry], wanted: &HashMap<Uuid, Wanted<'_>>, held: &Held<'_>) -> Vec<Offence> {
    let mut taken = HashMap::<Uuid, Vec<&Entry>>::new();
    for entry in entries {
        if let Change::Taken { request, .. } = entry.change {
            taken.entry(request).or_default().push(entry);
        }
    }
    let in_part = taken.into_iter().filter(|(request, taken)| {
        let asked = wanted.get(request).zip(held.by_request.get(request));
        asked.is_some_and(|(wanted, held)| wanted.is_part(held, taken))
    });
    in_part
        .map(|(_, taken)| {
            let events = taken.into_iter().map(|entry| entry as &dyn Display);
            Offence::new(Rule::AllOrNone, events)
        })
        .collect()
}
