//! The clients' clock against the database's order: what was answered before something else was asked comes first.

use std::fmt::Display;

use super::super::{Answer, Call, Entry, Offence, Rule};
use super::Index;

/// All keys together: there is one order of everything.
pub(super) fn check(calls: &[Call], index: &Index<'_>) -> Vec<Offence> {
    let with_effect = || {
        calls
            .iter()
            .filter_map(|call| Some((call, index.effect(call)?)))
    };
    let mut asked: Vec<(&Call, &Entry)> = with_effect().collect();
    asked.sort_unstable_by_key(|(call, _)| call.asked);
    // An unanswered call may take effect at any time after it was asked.
    let mut answered: Vec<(u64, &Call, &Entry)> = with_effect()
        .filter(|(call, _)| confirms(call.answer))
        .filter_map(|(call, entry)| Some((call.answered?, call, entry)))
        .collect();
    answered.sort_unstable_by_key(|(at, ..)| *at);

    let mut over = answered.into_iter().peekable();
    let mut latest: Option<(&Call, &Entry)> = None;
    let mut offences = Vec::new();
    for (call, effect) in asked {
        while let Some((_, earlier, entry)) = over.next_if(|(at, ..)| *at < call.asked) {
            if latest.is_none_or(|(_, latest)| latest.turn < entry.turn) {
                latest = Some((earlier, entry));
            }
        }
        if let Some((earlier, entry)) = latest
            && entry.turn >= effect.turn
        {
            let events: [&dyn Display; 4] = [earlier, entry, call, effect];
            offences.push(Offence::new(Rule::OrderOfTime, events));
        }
    }
    offences
}

fn confirms(answer: Answer) -> bool {
    matches!(
        answer,
        Answer::Token(_) | Answer::Written | Answer::Released
    )
}
