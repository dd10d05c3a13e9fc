//! The tokens and service ids that clients were told, against each other. This needs no journal: it holds also for
//! answers whose effects were lost with a server.

use std::collections::HashMap;
use std::fmt::Display;

use super::super::{Answer, Call, Offence, Rule};

/// Tokens and service ids that were given twice, and such that are not larger than one that was known before they were
/// asked for, whatever the key: the rules `TokensUnique`, `TokensGrow`, `IdsUnique` and `IdsGrow`.
#[must_use]
pub fn check(calls: &[Call]) -> Vec<Offence> {
    let tokens = told(calls, |answer| match answer {
        Answer::Token(token) => Some(token),
        _ => None,
    });
    let ids = told(calls, |answer| match answer {
        Answer::Service(id) => Some(id),
        _ => None,
    });
    let mut offences = repeated(&tokens, Rule::TokensUnique);
    offences.extend(fallen(&tokens, Rule::TokensGrow));
    offences.extend(repeated(&ids, Rule::IdsUnique));
    offences.extend(fallen(&ids, Rule::IdsGrow));
    offences
}

/// A number, when it was asked for, and when it was known.
struct Told<'a> {
    number: i64,
    asked: u64,
    answered: u64,
    call: &'a Call,
}

fn told(calls: &[Call], number: impl Fn(Answer) -> Option<i64>) -> Vec<Told<'_>> {
    let told = calls.iter().filter_map(|call| {
        Some(Told { number: number(call.answer)?, asked: call.asked, answered: call.answered?, call })
    });
    told.collect()
}

fn repeated(told: &[Told<'_>], rule: Rule) -> Vec<Offence> {
    let mut first = HashMap::new();
    let again = told.iter().filter_map(|one| {
        let earlier = *first.entry(one.number).or_insert(one.call);
        (!std::ptr::eq(earlier, one.call)).then(|| offence(rule, earlier, one.call))
    });
    again.collect()
}

/// Compares each number with the largest one that was known when it was asked for.
fn fallen(told: &[Told<'_>], rule: Rule) -> Vec<Offence> {
    let mut answered: Vec<_> = told.iter().collect();
    answered.sort_unstable_by_key(|one| one.answered);
    let mut asked: Vec<_> = told.iter().collect();
    asked.sort_unstable_by_key(|one| one.asked);
    let mut answered = answered.into_iter().peekable();
    let mut largest: Option<&Told<'_>> = None;
    let mut offences = Vec::new();
    for one in asked {
        while let Some(earlier) = answered.next_if(|earlier| earlier.answered < one.asked) {
            if largest.is_none_or(|largest| earlier.number > largest.number) {
                largest = Some(earlier);
            }
        }
        // An equal number was given twice, which is reported by itself.
        if let Some(earlier) = largest.filter(|largest| largest.number > one.number) {
            offences.push(offence(rule, earlier.call, one.call));
        }
    }
    offences
}

fn offence(rule: Rule, earlier: &Call, later: &Call) -> Offence {
    Offence::new(rule, [earlier as &dyn Display, later])
}
