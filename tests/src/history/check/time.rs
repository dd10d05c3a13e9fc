//! The clients' clock against the database's order: a call that was answered before another was sent comes first.

use std::fmt::Display;

use super::super::{Answer, Call, Entry, Offence, Rule};
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
    let mut offences = Vec::new();
    for call in calls {
        if let Some(effect) = index.effect(call)
            && let Some((earlier, entry)) = over.before(call.asked)
            && entry.turn >= effect.turn
        {
            let events: [&dyn Display; 4] = [earlier, entry, call, effect];
            offences.push(Offence::new(Rule::OrderOfTime, events));
        }
    }
    offences
}

fn confirms(answer: Answer) -> bool {
    matches!(answer, Answer::Token(_) | Answer::Written | Answer::Released)
}
