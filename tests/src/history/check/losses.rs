//! Locks that were freed without a release by their holder: only those of services that have ended.

use std::collections::HashMap;
use std::fmt::Display;

use uuid::Uuid;

use super::super::{Act, Answer, Call, Change, Entry, History, Offence, Rule};
use super::time::Frontier;

pub(super) fn check(history: &History, over: &Frontier<'_>) -> Vec<Offence> {
    let losses = Losses::of(history, over);
    let journal = &history.journal;
    journal.iter().filter_map(|entry| losses.judge(entry)).collect()
}

struct Losses<'a> {
    over: &'a Frontier<'a>,
    takers: HashMap<i64, &'a Entry>,
    ends: HashMap<i64, &'a Entry>,
    /// Acquires by request and key, releases by token.
    acquires: HashMap<(Uuid, &'a str), &'a Call>,
    releases: HashMap<i64, &'a Call>,
}

impl<'a> Losses<'a> {
    fn of(history: &'a History, over: &'a Frontier<'a>) -> Self {
        let mut losses = Self {
            over,
            takers: HashMap::new(),
            ends: HashMap::new(),
            acquires: HashMap::new(),
            releases: HashMap::new(),
        };
        for entry in &history.journal {
            match entry.change {
                Change::Taken { token, .. } => drop(losses.takers.insert(token, entry)),
                Change::Ended { service } => drop(losses.ends.insert(service, entry)),
                _ => {}
            }
        }
        for call in &history.calls {
            match &call.act {
                Act::Acquire { request, key, .. } => {
                    losses.acquires.insert((*request, &**key), call);
                }
                Act::Release { token, .. } => drop(losses.releases.insert(*token, call)),
                _ => {}
            }
        }
        losses
    }

    fn judge(&self, freed: &Entry) -> Option<Offence> {
        let Change::Freed { key, token } = &freed.change else {
            return None;
        };
        let token = *token;
        let taken = self.takers.get(&token)?;
        let Change::Taken { service, request, .. } = taken.change else {
            return None;
        };
        let ended = self.ends.get(&service);
        // An orderly stop frees the locks and ends the service in one transaction, in any order.
        let dead = ended.is_some_and(|end| end.turn < freed.turn || end.xid == freed.xid);
        if dead || self.was_given_back(token, (request, key), freed) {
            return None;
        }
        let acquire = self.acquires.get(&(request, &**key));
        let release = self.releases.get(&token);
        let calls = acquire.into_iter().chain(release);
        let events = [*taken as &dyn Display, freed].into_iter();
        Some(Offence::new(Rule::OnlyTheDeadLoseLocks, events.chain(calls.map(|&call| call as &dyn Display))))
    }

    /// Freed by a release that was sent before, or in the background if the client was never told of the lock.
    fn was_given_back(&self, token: i64, asked: (Uuid, &str), freed: &Entry) -> bool {
        let told = |call: &&Call| call.answer == Answer::Token(token);
        if !self.acquires.get(&asked).is_some_and(told) {
            return true;
        }
        self.releases.get(&token).is_some_and(|release| {
            let before = self.over.before(release.asked);
            before.is_none_or(|(_, entry)| entry.turn < freed.turn)
        })
    }
}
