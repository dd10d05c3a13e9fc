//! Submitted work: each piece with the status of its resource, had by one service at a time, and ended once.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use uuid::Uuid;

use super::super::{Act, Answer, Call, Change, Entry, Finish, History, Offence, Piece, Rule};
use super::Index;
use super::asked::Asked;
use super::time::Frontier;

/// The status of a resource without work.
const IDLE: &str = "idle";
/// The attempts before the crash rule of a status is applied. Other statuses have no rule.
const ATTEMPTS: (&str, i64) = ("first", 2);

pub(super) fn check(history: &History, index: &Index<'_>, over: &Frontier<'_>) -> Vec<Offence> {
    let mut court = Court { asked: Asked::of(&history.calls, over), ..Court::default() };
    for transaction in history.journal.chunk_by(|a, b| a.xid == b.xid) {
        transaction.iter().for_each(|entry| court.take(entry));
        court.end_of(transaction);
    }
    let left: Vec<&Entry> = court.pieces.values().map(|(entry, _)| *entry).collect();
    left.into_iter().for_each(|entry| court.report(Rule::ReleasedOrCleaned, &[entry]));
    let wrong = history.calls.iter().filter_map(|call| answered_wrongly(call, index, &court.asked));
    court.offences.into_iter().chain(wrong).collect()
}

#[derive(Clone, Copy)]
struct Status<'a> {
    entry: &'a Entry,
    status: &'a str,
    request: Uuid,
    how: Option<Finish>,
}

/// What the database holds at one entry of the journal.
#[derive(Default)]
struct Court<'a> {
    asked: Asked,
    pieces: HashMap<&'a str, (&'a Entry, &'a Piece)>,
    statuses: HashMap<&'a str, Status<'a>>,
    submitted: HashMap<Uuid, &'a Entry>,
    dead: HashSet<i64>,
    /// The pieces that this transaction has ended: the last row of each, by key.
    ended: HashMap<&'a str, (&'a Entry, &'a Piece)>,
    offences: Vec<Offence>,
}

impl<'a> Court<'a> {
    fn report(&mut self, rule: Rule, events: &[&Entry]) {
        self.offences.push(Offence::new(rule, events.iter().map(|&entry| entry as &dyn Display)));
    }

    fn take(&mut self, entry: &'a Entry) {
        match &entry.change {
            Change::Work { key, piece } => match self.pieces.insert(key, (entry, piece)) {
                None => self.submitted(entry, key, piece),
                Some((earlier, before)) => self.moved(earlier, before, entry, piece),
            },
            Change::WorkEnded { key, token } => match self.pieces.remove(&**key) {
                Some(last) if last.1.token == *token => _ = self.ended.insert(key, last),
                Some((last, _)) => self.report(Rule::FreedOnce, &[last, entry]),
                None => self.report(Rule::FreedOnce, &[entry]),
            },
            Change::Status { key, status, request, how } => {
                self.statuses.insert(key, Status { entry, status, request: *request, how: *how });
            }
            Change::Ended { service } => _ = self.dead.insert(*service),
            Change::Taken { .. } | Change::Freed { .. } | Change::Wrote { .. } => {}
        }
    }

    fn submitted(&mut self, entry: &'a Entry, key: &str, piece: &Piece) {
        if let Some(first) = self.submitted.insert(piece.request, entry) {
            self.report(Rule::SubmittedOnce, &[first, entry]);
        }
        if piece.attempt != 1 {
            self.report(Rule::AttemptsGrow, &[entry]);
        }
        if !self.asked.submits.contains(&(piece.request, key.to_owned())) {
            self.report(Rule::OnlyWhatWasAsked, &[entry]);
        }
    }

    fn moved(&mut self, earlier: &'a Entry, before: &Piece, entry: &'a Entry, piece: &Piece) {
        let rule = match (before.service, piece.service) {
            (None, Some(taker)) => self.taken(before, piece, taker),
            (Some(holder), None) => self.put_back(before, entry, piece, holder),
            (Some(holder), Some(next)) if holder != next => self.taken_over(before, entry, piece, [holder, next]),
            // Why a cleanup has left it.
            _ => (before != piece).then_some(Rule::OnlyWhatWasAsked),
        };
        if let Some(rule) = rule {
            self.report(rule, &[earlier, entry]);
        }
    }

    fn taken(&self, before: &Piece, piece: &Piece, taker: i64) -> Option<Rule> {
        if self.dead.contains(&taker) {
            Some(Rule::DeadStayDead)
        } else if !self.asked.takers.contains(&taker) {
            Some(Rule::OnlyWhatWasAsked)
        } else if piece.token <= before.work {
            Some(Rule::TokensGrow)
        } else {
            (piece.attempt != before.attempt).then_some(Rule::AttemptsGrow)
        }
    }

    /// By a crash, by its service, or for the next step.
    fn put_back(&self, before: &Piece, entry: &Entry, piece: &Piece, holder: i64) -> Option<Rule> {
        let passed = self.asked.passes.contains(&before.token);
        if piece.attempt == before.attempt + 1 {
            (!self.dead.contains(&holder)).then_some(Rule::OnlyTheDeadLoseLocks)
        } else if passed && piece.status != before.status {
            (piece.attempt != 1).then_some(Rule::AttemptsGrow)
        } else if self.asked.may_give_back(holder, before.token, entry) {
            (piece.attempt != before.attempt).then_some(Rule::AttemptsGrow)
        } else {
            Some(Rule::OnlyTheDeadLoseLocks)
        }
    }

    /// A claim, or the end of one: then the work is again that of the service that has crashed over it.
    fn taken_over(&self, before: &Piece, entry: &Entry, piece: &Piece, [holder, next]: [i64; 2]) -> Option<Rule> {
        if piece.token <= before.token {
            return Some(Rule::TokensGrow);
        }
        match (self.dead.contains(&holder), self.dead.contains(&next)) {
            (false, false) => Some(Rule::OneHolder),
            (true, false) => (!self.asked.takers.contains(&next)).then_some(Rule::OnlyWhatWasAsked),
            (false, true) => {
                (!self.asked.may_give_back(holder, before.token, entry)).then_some(Rule::OnlyTheDeadLoseLocks)
            }
            (true, true) => None,
        }
    }

    /// A status and its work are compared where other transactions see them.
    fn end_of(&mut self, transaction: &'a [Entry]) {
        let keys: HashSet<&str> = transaction.iter().filter_map(|entry| key_of(entry)).collect();
        for key in keys {
            let ended = self.ended.remove(key);
            let status = self.statuses.get(key).copied();
            let has_work = match (self.pieces.get(key), status) {
                (Some((_, piece)), Some(status)) => {
                    status.status == piece.status && status.request == piece.request && status.how.is_none()
                }
                (Some(_), None) => false,
                (None, status) => status.is_none_or(|status| status.status == IDLE && status.how.is_some()),
            };
            if !has_work {
                let events: Vec<&Entry> = transaction.iter().filter(|entry| key_of(entry) == Some(key)).collect();
                self.report(Rule::StatusWithWork, &events);
            }
            let changed = status.filter(|status| {
                status.how.is_some() && transaction.iter().any(|entry| std::ptr::eq(entry, status.entry))
            });
            match (ended, changed) {
                (Some((entry, piece)), Some(status)) => {
                    if let Some(rule) = self.ended_wrongly(piece, status) {
                        self.report(rule, &[entry, status.entry]);
                    }
                }
                (None, None) => {}
                (ended, status) => {
                    let row = ended.map(|(entry, _)| entry);
                    let events: Vec<&Entry> = row.into_iter().chain(status.map(|status| status.entry)).collect();
                    self.report(Rule::EndedOnce, &events);
                }
            }
        }
    }

    fn ended_wrongly(&self, piece: &Piece, status: Status<'_>) -> Option<Rule> {
        let how = status.how?;
        let asked = match (piece.service, how) {
            (None, Finish::Cancelled) => self.asked.cancels.contains(&piece.work),
            (Some(_), _) => self.asked.finishes.contains(&(piece.token, how)),
            (None, _) => false,
        };
        if status.request != piece.request {
            Some(Rule::StatusWithWork)
        } else if asked {
            None
        } else if how != Finish::RolledBack || piece.status != ATTEMPTS.0 {
            Some(Rule::EndedOnce)
        } else if !piece.service.is_some_and(|service| self.dead.contains(&service)) {
            Some(Rule::OnlyTheDeadLoseLocks)
        } else {
            (piece.attempt < ATTEMPTS.1).then_some(Rule::AttemptsGrow)
        }
    }
}

fn key_of(entry: &Entry) -> Option<&str> {
    match &entry.change {
        Change::Work { key, .. } | Change::WorkEnded { key, .. } | Change::Status { key, .. } => Some(key),
        _ => None,
    }
}

fn answered_wrongly(call: &Call, index: &Index<'_>, asked: &Asked) -> Option<Offence> {
    let effect = index.effect(call).map(|entry| &entry.change);
    let (rule, right) = match (&call.act, call.answer) {
        (Act::Submit { key, .. }, Answer::Submitted(work)) => {
            let is_it =
                |change: &Change| matches!(change, Change::Work { key: on, piece } if on == key && piece.work == work);
            (Rule::ConfirmedIsDone, effect.is_some_and(is_it))
        }
        (Act::Submit { request, .. }, Answer::NotFree) if !asked.open_requests.contains(request) => {
            (Rule::RefusedIsNotDone, !index.submitted.contains_key(request))
        }
        (Act::Take { service }, Answer::Token(_)) => {
            let is_it =
                |change: &Change| matches!(change, Change::Work { piece, .. } if piece.service == Some(*service));
            (Rule::ConfirmedIsDone, effect.is_some_and(is_it))
        }
        (Act::Finish { .. } | Act::Cancel { .. }, Answer::Written) => {
            (Rule::ConfirmedIsDone, matches!(effect, Some(Change::WorkEnded { .. })))
        }
        (Act::Pass { .. }, Answer::Written) => {
            (Rule::ConfirmedIsDone, matches!(effect, Some(Change::Work { piece, .. }) if piece.service.is_none()))
        }
        _ => return None,
    };
    (!right).then(|| Offence::new(rule, [call as &dyn Display]))
}
