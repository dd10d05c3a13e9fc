//! Repairing the work of one kind by its crash rule, for cleanups and claims.
//!
//! The rule runs on all resources at once, in the subtransaction that removes their rows from `workers`: both happen or
//! neither. If it fails, that is undone and the halves are tried by themselves, down to single resources, whose work
//! waits. Bisection finds one failing resource of n in O(log n) statements.

use super::failures::Failures;
use super::kind::{Scope, WorkItem, WorkKind};
use super::rules::CrashRule;
use crate::pg::catch::attempt;
use crate::pg::error::Error;

/// What became of one work item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkOutcome {
    /// The rule changed the resource; the row of `workers` is removed.
    Cleaned,
    /// The resource has another status than the work, or is gone; the row of `workers` is removed.
    Stale,
    /// There is no rule, or it failed, and a warning has told why: the work waits.
    Awaiting,
}

type Outcomes = Vec<(WorkItem, WorkOutcome)>;

/// The work to repair.
#[derive(Debug)]
pub enum Found<'s> {
    /// All that is in the scope of a cleanup. Which items these are is known when they are removed.
    InScope(&'s Scope),
    /// Items whose rows a claim has locked.
    Locked(Vec<WorkItem>),
}

/// How the work of one kind is repaired.
pub struct Repair {
    kind: WorkKind,
    /// `None` for a type that isn't tracked. An error is told where there is work.
    rule: Result<Option<CrashRule>, Error>,
}

impl Repair {
    pub fn of(kind: WorkKind) -> Result<Self, Error> {
        let rule = unless_interrupted(attempt(|| CrashRule::find(&kind)))?;
        Ok(Repair { kind, rule })
    }

    pub fn run(&self, found: Found) -> Result<Outcomes, Error> {
        match &self.rule {
            Ok(Some(rule)) if rule.has_changes => self.apply(rule, found),
            Ok(Some(rule)) => self.drop_stale(rule, found),
            Ok(None) => Ok(awaiting(self.see(found)?)),
            Err(error) => self.leave_all(self.see(found)?, error),
        }
    }

    fn apply(&self, rule: &CrashRule, found: Found) -> Result<Outcomes, Error> {
        let all = || match found {
            Found::InScope(scope) => self.kind.remove_all(scope),
            Found::Locked(items) => self.kind.remove(&items),
        };
        let failed = match try_on(rule, all)? {
            Ok(outcomes) => return Ok(outcomes),
            Err(failed) => failed,
        };
        // A rule that fails even without resources fails on each: no use in bisecting.
        if failed.items.len() > 1
            && let Err(error) = unless_interrupted(attempt(|| rule.run(&[]).map(|_| None::<()>)))?
        {
            return self.leave_all(failed.items, &error);
        }
        let mut failures = Failures::of(&self.kind);
        let mut outcomes = Vec::new();
        let mut stack = vec![failed];
        while let Some(Failed { mut items, error }) = stack.pop() {
            if items.len() == 1 {
                failures.report(&items, &error)?;
                outcomes.extend(awaiting(items));
                continue;
            }
            let later = items.split_off(items.len() / 2);
            // The later half goes first, so that of two that fail the earlier is on top.
            for half in [later, items] {
                match try_on(rule, || self.kind.remove(&half))? {
                    Ok(done) => outcomes.extend(done),
                    Err(failed) => stack.push(failed),
                }
            }
        }
        failures.finish();
        Ok(outcomes)
    }

    /// Without a rule work waits, unless its resource has moved on.
    fn drop_stale(&self, look: &CrashRule, found: Found) -> Result<Outcomes, Error> {
        let items = self.see(found)?;
        let in_status = match unless_interrupted(attempt(|| look.run(&ids(&items)).map(Some)))? {
            Ok(in_status) => in_status.unwrap_or_default(),
            Err(error) => return self.leave_all(items, &error),
        };
        let (mut outcomes, mut stale) = (Vec::new(), Vec::new());
        for (item, in_status) in items.into_iter().zip(in_status) {
            match in_status {
                true => outcomes.push((item, WorkOutcome::Awaiting)),
                false => stale.push(item),
            }
        }
        if !stale.is_empty() {
            let removed = self.kind.remove(&stale)?;
            outcomes.extend(removed.into_iter().map(|item| (item, WorkOutcome::Stale)));
        }
        Ok(outcomes)
    }

    /// For a failure that isn't about one resource: one warning for all.
    fn leave_all(&self, items: Vec<WorkItem>, error: &Error) -> Result<Outcomes, Error> {
        Failures::of(&self.kind).report(&items, error)?;
        Ok(awaiting(items))
    }

    fn see(&self, found: Found) -> Result<Vec<WorkItem>, Error> {
        match found {
            Found::InScope(scope) => self.kind.see(scope),
            Found::Locked(items) => Ok(items),
        }
    }
}

/// Items that the rule failed on.
struct Failed {
    items: Vec<WorkItem>,
    error: Error,
}

/// Removes items and runs the rule on their resources, in a subtransaction: the rows stay away only if the rule
/// succeeds.
fn try_on(
    rule: &CrashRule,
    remove: impl FnOnce() -> Result<Vec<WorkItem>, Error>,
) -> Result<Result<Outcomes, Failed>, Error> {
    let mut items = Vec::new();
    let mut failure = None;
    let changed = attempt(|| {
        items = remove()?;
        if items.is_empty() {
            return Ok(Some(Vec::new()));
        }
        match unless_interrupted(rule.run(&ids(&items)))? {
            Ok(changed) => Ok(Some(changed)),
            Err(error) => {
                failure = Some(error);
                Ok(None)
            }
        }
    })?;
    if let Some(error) = failure {
        // A removal returns its rows in no order, and the warnings need one.
        items.sort_unstable_by_key(|item| item.token);
        return Ok(Err(Failed { items, error }));
    }
    let outcome = |changed| match changed {
        true => WorkOutcome::Cleaned,
        false => WorkOutcome::Stale,
    };
    let changed = changed.unwrap_or_default().into_iter().map(outcome);
    Ok(Ok(items.into_iter().zip(changed).collect()))
}

/// Parts the failure of a rule from what ends the whole call: a cancel, a time-out, a deadlock.
fn unless_interrupted<T>(result: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    let interrupts = |code: [u8; 5]| code.starts_with(b"57") || code.starts_with(b"40") || code == *b"55P03";
    match result {
        Err(error) if interrupts(error.sqlstate()) => Err(error),
        result => Ok(result),
    }
}

fn awaiting(items: Vec<WorkItem>) -> Outcomes {
    let awaiting = |item| (item, WorkOutcome::Awaiting);
    items.into_iter().map(awaiting).collect()
}

fn ids(items: &[WorkItem]) -> Vec<&str> {
    items.iter().map(|item| item.resource_id.as_str()).collect()
}
