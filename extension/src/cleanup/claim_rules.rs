//! What crash rules make of work before it is handed out.

use super::failures::Failures;
use super::repair::{Repair, interrupts};
use super::work::Kind;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What became of one piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule changed the resource.
    Cleaned,
    /// The resource has another status than the work, or is gone: somebody else has dealt with it.
    Stale,
    /// There is no rule, or it failed: the work waits.
    Awaiting,
}

/// The rules that one claim has needed so far.
#[derive(Default)]
pub struct Rules(BTreeMap<Kind, Option<Rc<Repair>>>);

impl Rules {
    /// Deals with resources whose work is of one kind. Where the rule fails they are left as they were, with a warning.
    pub fn apply(&mut self, kind: &Kind, resource_ids: &[&str]) -> Result<Vec<Outcome>, Error> {
        let all_await = || vec![Outcome::Awaiting; resource_ids.len()];
        match attempt(|| self.find(kind).map(Some)) {
            Ok(Some(Some(repair))) => run(&repair, kind, resource_ids),
            Ok(_) => Ok(all_await()),
            Err(error) if interrupts(&error) => Err(error),
            Err(error) => {
                if let [first, others @ ..] = resource_ids {
                    Failures::of(kind).report_all(first, others.len(), &error)?;
                }
                Ok(all_await())
            }
        }
    }

    /// `None` for a type that nobody tracks.
    fn find(&mut self, kind: &Kind) -> Result<Option<Rc<Repair>>, Error> {
        if let Some(known) = self.0.get(kind) {
            return Ok(known.clone());
        }
        let found = Repair::find(&kind.resource_type, &kind.status)?.map(Rc::new);
        self.0.insert(kind.clone(), found.clone());
        Ok(found)
    }
}

/// On all at once; if that fails, on each by itself.
fn run(repair: &Repair, kind: &Kind, resource_ids: &[&str]) -> Result<Vec<Outcome>, Error> {
    if let Ok(outcomes) = try_on(repair, resource_ids)? {
        return Ok(outcomes);
    }
    let mut failures = Failures::of(kind);
    let mut outcomes = Vec::with_capacity(resource_ids.len());
    for id in resource_ids {
        match try_on(repair, &[id])? {
            Ok(outcome) => outcomes.extend(outcome),
            Err(error) => {
                failures.report(id, &error)?;
                outcomes.push(Outcome::Awaiting);
            }
        }
    }
    failures.finish();
    Ok(outcomes)
}

/// The outer error is about the whole claim and no fault of the rule.
fn try_on(repair: &Repair, resource_ids: &[&str]) -> Result<Result<Vec<Outcome>, Error>, Error> {
    let outcome = |found: bool| match (found, repair.has_rule) {
        (false, _) => Outcome::Stale,
        (true, true) => Outcome::Cleaned,
        (true, false) => Outcome::Awaiting,
    };
    match attempt(|| repair.run(resource_ids).map(Some)) {
        Ok(found) => Ok(Ok(found
            .unwrap_or_default()
            .into_iter()
            .map(outcome)
            .collect())),
        Err(error) if interrupts(&error) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}
