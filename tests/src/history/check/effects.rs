//! The rules that need only the journal: they are checked entry by entry.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::super::{Change, Entry, Offence, Rule};

/// What the database holds at one entry of the journal.
#[derive(Default)]
struct State<'a> {
    /// The holders of each key: at most one, unless the rule is broken.
    holders: HashMap<&'a str, Vec<&'a Entry>>,
    /// The last token of each key, which may have been released.
    last_taken: HashMap<&'a str, &'a Entry>,
    /// The entry that took each token, whether it is still held or not.
    takers: HashMap<i64, &'a Entry>,
    last_write: HashMap<&'a str, &'a Entry>,
    writes: HashMap<Uuid, &'a Entry>,
    ended: HashMap<i64, &'a Entry>,
    offences: Vec<Offence>,
}

pub(super) fn check(journal: &[Entry]) -> Vec<Offence> {
    let mut state = State::default();
    for entry in journal {
        match &entry.change {
            Change::Taken { key, .. } => state.taken(entry, key),
            Change::Freed { key, token } => state.freed(entry, key, *token),
            Change::Wrote { key, .. } => state.wrote(entry, key),
            Change::Ended { service } => {
                state.ended.entry(*service).or_insert(entry);
            }
            Change::Work { .. } | Change::WorkEnded { .. } | Change::Status { .. } => {}
        }
    }
    let left: HashSet<u64> = state.holders.values().flatten().map(|e| e.turn).collect();
    for entry in journal.iter().filter(|entry| left.contains(&entry.turn)) {
        state.report(Rule::ReleasedOrCleaned, &[entry]);
    }
    state.offences
}

impl<'a> State<'a> {
    fn report(&mut self, rule: Rule, events: &[&Entry]) {
        let events = events.iter().map(|&entry| entry as &dyn std::fmt::Display);
        self.offences.push(Offence::new(rule, events));
    }

    fn taken(&mut self, entry: &'a Entry, key: &'a str) {
        let Change::Taken { token, service, .. } = entry.change else {
            return;
        };
        if let Some(holder) = self.holders.get(key).and_then(|holders| holders.first()) {
            self.report(Rule::OneHolder, &[holder, entry]);
        }
        if let Some(last) = self.last_taken.get(key).copied()
            && token_of(last) >= token
        {
            self.report(Rule::TokensGrow, &[last, entry]);
        }
        if let Some(end) = self.ended.get(&service).copied() {
            self.report(Rule::DeadStayDead, &[end, entry]);
        }
        self.holders.entry(key).or_default().push(entry);
        self.last_taken.insert(key, entry);
        self.takers.insert(token, entry);
    }

    fn freed(&mut self, entry: &'a Entry, key: &'a str, token: i64) {
        let holders = self.holders.entry(key).or_default();
        let Some(place) = holders.iter().position(|taken| token_of(taken) == token) else {
            let taken = self.takers.get(&token).copied();
            let events: Vec<&Entry> = taken.into_iter().chain([entry]).collect();
            return self.report(Rule::FreedOnce, &events);
        };
        holders.remove(place);
    }

    fn wrote(&mut self, entry: &'a Entry, key: &'a str) {
        let Change::Wrote { token, write, version, .. } = entry.change else {
            return;
        };
        self.authorised(entry, key, token);
        let last = self.last_write.insert(key, entry);
        let expected = last.map_or(0, version_of) + 1;
        if version != expected {
            let events: Vec<&Entry> = last.into_iter().chain([entry]).collect();
            self.report(Rule::NoLostUpdate, &events);
        }
        if let Some(last) = last.filter(|last| token_of(last) > token) {
            self.report(Rule::NewestTokenWrites, &[last, entry]);
        }
        if let Some(first) = self.writes.insert(write, entry) {
            self.report(Rule::WrittenOnce, &[first, entry]);
        }
    }

    /// Checks that the token of this write was held, by a service that had not ended, and belongs to this key.
    fn authorised(&mut self, entry: &'a Entry, key: &str, token: i64) {
        let holders = self.holders.get(key).into_iter().flatten();
        if !holders.into_iter().any(|taken| token_of(taken) == token) {
            let taken = self.takers.get(&token).copied();
            let of_another = taken.is_some_and(|taken| key_of(taken) != key);
            let rule = if of_another { Rule::WritesWithOwnToken } else { Rule::WritesUnderLock };
            let events: Vec<&Entry> = taken.into_iter().chain([entry]).collect();
            self.report(rule, &events);
        }
        let Some(taken) = self.takers.get(&token).copied() else {
            return;
        };
        if let Change::Taken { service, .. } = taken.change
            && let Some(end) = self.ended.get(&service).copied()
        {
            self.report(Rule::DeadStayDead, &[taken, end, entry]);
        }
    }
}

fn token_of(entry: &Entry) -> i64 {
    match entry.change {
        Change::Taken { token, .. } | Change::Freed { token, .. } | Change::Wrote { token, .. } => token,
        _ => 0,
    }
}

fn version_of(entry: &Entry) -> i64 {
    match entry.change {
        Change::Wrote { version, .. } => version,
        _ => 0,
    }
}

fn key_of(entry: &Entry) -> &str {
    match &entry.change {
        Change::Taken { key, .. } | Change::Freed { key, .. } | Change::Wrote { key, .. } => key,
        _ => "",
    }
}
