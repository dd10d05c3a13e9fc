//! The clients' clock against the database's order: a call that was answered before another was sent comes first.

use std::collections::HashMap;
use std::fmt::Display;

use uuid::Uuid;

use super::super::{Act, Answer, Call, Entry, Offence, Rule};
use super::Index;

/// How far the database had come, as the clients know: all keys together, because everything has one order.
pub(super) struct Frontier<'a> {
    /// Confirmed effects in the order of their answers, without those that add nothing.
    steps: Vec<(u64, &'a Call, &'a Entry)>,
}

impl<'a> Frontier<'a> {
    pub(super) fn of(calls: &'a [Call], index: &Index<'a>) -> Self {
        let confirmed = calls.iter().filter(|call| confirms(call.answer));
        let mut steps: Vec<_> =
            confirmed.filter_map(|call| Some((call.answered?, call, index.effect(call)?))).collect();
        steps.sort_unstable_by_key(|(at, ..)| *at);
        let mut turn = 0;
        steps.retain(|(_, _, entry)| {
            let new = entry.turn > turn;
            turn = turn.max(entry.turn);
            new
        });
        Self { steps }
    }

    /// The latest effect that was confirmed before that moment.
    pub(super) fn before(&self, at: u64) -> Option<(&'a Call, &'a Entry)> {
        let next = self.steps.partition_point(|(answered, ..)| *answered < at);
        let (_, call, entry) = self.steps[..next].last()?;
        Some((call, entry))
    }
}

/// An unanswered call may take effect at any time after it was sent, but not before.
pub(super) fn check(calls: &[Call], index: &Index<'_>, over: &Frontier<'_>) -> Vec<Offence> {
    let sent = first_sendings(calls);
    let mut offences = Vec::new();
    for call in calls {
        let asked = request(call).map_or(call.asked, |request| sent[&request]);
        if let Some(effect) = index.effect(call)
            && let Some((earlier, entry)) = over.before(asked)
            && entry.turn >= effect.turn
        {
            let events: [&dyn Display; 4] = [earlier, entry, call, effect];
            offences.push(Offence::new(Rule::OrderOfTime, events));
        }
    }
    offences
}

/// A request that is sent again is answered by what its first sending did, which may have got no answer.
fn first_sendings(calls: &[Call]) -> HashMap<(Uuid, &str), u64> {
    let mut sent = HashMap::new();
    for call in calls {
        if let Some(request) = request(call) {
            sent.entry(request).and_modify(|at: &mut u64| *at = call.asked.min(*at)).or_insert(call.asked);
        }
    }
    sent
}

/// What makes a call the same as another one: its request, and the key in it.
fn request(call: &Call) -> Option<(Uuid, &str)> {
    match &call.act {
        Act::Acquire { request, key, .. } | Act::Submit { request, key } => Some((*request, key)),
        _ => None,
    }
}

fn confirms(answer: Answer) -> bool {
    matches!(answer, Answer::Token(_) | Answer::Submitted(_) | Answer::Written | Answer::Released)
}
