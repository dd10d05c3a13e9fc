//! The answers that clients got, against the effects.

use std::collections::HashSet;
use std::fmt::Display;

use super::super::{Act, Answer, Call, Change, Entry, History, Offence, Rule};
use super::Index;

pub(super) fn check(history: &History, index: &Index<'_>) -> Vec<Offence> {
    let told = history.calls.iter().filter_map(|call| answered_wrongly(call, index));
    told.chain(unasked(history)).collect()
}

fn answered_wrongly(call: &Call, index: &Index<'_>) -> Option<Offence> {
    let effect = index.effect(call);
    let (rule, right) = match (&call.act, call.answer) {
        (Act::Acquire { .. }, Answer::Token(token)) => {
            (Rule::ConfirmedIsDone, effect.is_some_and(|entry| is_taken(entry, call, token)))
        }
        (Act::Write { .. }, Answer::Written) => {
            (Rule::ConfirmedIsDone, effect.is_some_and(|entry| is_written(entry, call)))
        }
        (Act::Write { .. }, Answer::Refused) => (Rule::RefusedIsNotDone, effect.is_none()),
        // "Not held" is as final as "released": it may have been cleaned up, but it can't exist any more.
        (Act::Release { token, .. }, Answer::Released | Answer::NotHeld) => {
            (Rule::ConfirmedIsDone, index.freed.contains_key(token))
        }
        // An acquire that got nothing may have left a lock for a moment, which has to be freed like any other.
        _ => return None,
    };
    if right {
        return None;
    }
    let events: Vec<&dyn Display> =
        effect.map(|entry| entry as &dyn Display).into_iter().chain([call as &dyn Display]).collect();
    Some(Offence::new(rule, events))
}

fn is_taken(entry: &Entry, call: &Call, answered: i64) -> bool {
    match (&entry.change, &call.act) {
        (Change::Taken { key, token, service, .. }, Act::Acquire { key: asked, service: caller, .. }) => {
            key == asked && *token == answered && service == caller
        }
        _ => false,
    }
}

fn is_written(entry: &Entry, call: &Call) -> bool {
    match (&entry.change, &call.act) {
        (Change::Wrote { key, token, .. }, Act::Write { key: asked, token: with, .. }) => key == asked && token == with,
        _ => false,
    }
}

/// Clients write a question to the log before they send it, so every effect has a question in a log.
fn unasked(history: &History) -> Vec<Offence> {
    let asked: HashSet<_> = history
        .calls
        .iter()
        .filter_map(|call| match &call.act {
            Act::Acquire { request: id, key, .. } | Act::Write { write: id, key, .. } => Some((*id, &**key)),
            _ => None,
        })
        .collect();
    let unasked = history.journal.iter().filter(|entry| match &entry.change {
        Change::Taken { request: id, key, .. } | Change::Wrote { write: id, key, .. } => {
            !asked.contains(&(*id, &**key))
        }
        // A reaper frees, a cleanup fences, and neither keeps a log. Work is judged by itself.
        _ => false,
    });
    unasked.map(|entry| Offence::new(Rule::OnlyWhatWasAsked, [entry as &dyn Display])).collect()
}
