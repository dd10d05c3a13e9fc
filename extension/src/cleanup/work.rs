//! The work of dead services, of one kind at a time: one status of one type of resource.
//!
//! A crash rule runs on all resources of its kind at once, in the subtransaction that takes their rows away: both happen or
//! neither does. If one resource makes it fail, that is undone and the halves are tried by themselves, down to the one,
//! which waits.

use super::cleanup::Scope;
use super::failures::Failures;
use super::repair::{Repair, interrupts};
use super::tally::Tallies;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::spi::{Rows, arg};
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::wait::WaitQueue;

/// One status of one type of resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub resource_type: String,
    pub status: String,
}

/// One row of `workers`.
pub struct Work {
    pub resource_id: String,
    token: i64,
    service_id: i64,
    key: WaitQueue,
    slot: WaitQueue,
}

impl Work {
    /// Reads the columns of a removal.
    fn read(rows: &Rows) -> Vec<Self> {
        let work = |row| {
            let name = |column| rows.get::<&str>(row, column);
            let (resource_type, resource_id) = (name(1)?, name(2)?);
            Some(Work {
                resource_id: resource_id.to_owned(),
                token: rows.get(row, 5)?,
                service_id: rows.get(row, 6)?,
                key: WaitQueue::of_key(resource_type, resource_id, name(3)?),
                slot: WaitQueue::of_work(resource_type, resource_id),
            })
        };
        (0..rows.len()).filter_map(work).collect()
    }
}

/// Deals with all work of a kind.
pub fn clean(kind: &Kind, scope: &Scope, tallies: &mut Tallies) -> Result<(), Error> {
    let mut cleaning = Cleaning {
        kind,
        scope,
        tallies,
    };
    match Repair::find(&kind.resource_type, &kind.status) {
        Ok(Some(repair)) if repair.has_rule => cleaning.run_rule(&repair),
        Ok(Some(repair)) => cleaning.drop_stale(&repair),
        Ok(None) => {
            let works = cleaning.seen()?;
            cleaning.leave(&works);
            Ok(())
        }
        // What Postgres raises while it only looks is about the whole cleanup, and the transaction is at its end.
        Err(error @ Error::Postgres(_)) => Err(error),
        Err(error) => {
            let works = cleaning.seen()?;
            cleaning.leave_all(&works, error)
        }
    }
}

struct Cleaning<'c> {
    kind: &'c Kind,
    scope: &'c Scope,
    tallies: &'c mut Tallies,
}

/// What came of a rule.
enum Tried {
    Done(Vec<Work>, Vec<bool>),
    Failed(Vec<Work>, Error),
}

impl Cleaning<'_> {
    fn run_rule(&mut self, repair: &Repair) -> Result<(), Error> {
        let (works, error) = match try_rule(repair, || self.remove_kind())? {
            Tried::Done(works, found) => return self.settle(&works, &found),
            Tried::Failed(works, error) => (works, error),
        };
        // With nothing to do it fails as well: no use in looking for the one resource.
        if works.len() > 1
            && let Err(error) = attempt(|| repair.run(&[]).map(|_| None::<()>))
        {
            return self.leave_all(&works, error);
        }
        let mut failures = Failures::of(self.kind);
        let mut failed = vec![(works, error)];
        while let Some((mut works, error)) = failed.pop() {
            if works.len() == 1 {
                failures.report(&works[0].resource_id, &error)?;
                self.leave(&works);
                continue;
            }
            let later = works.split_off(works.len() / 2);
            // The later half goes first, so that of two that fail the earlier is on top.
            for half in [later, works] {
                match try_rule(repair, || self.remove(&half))? {
                    Tried::Done(works, found) => self.settle(&works, &found)?,
                    Tried::Failed(works, error) => failed.push((works, error)),
                }
            }
        }
        failures.finish();
        Ok(())
    }

    /// Without a rule work waits, unless its resource has moved on.
    fn drop_stale(&mut self, repair: &Repair) -> Result<(), Error> {
        let works = self.seen()?;
        let found = match attempt(|| repair.run(&ids(&works)).map(Some)) {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => return self.leave_all(&works, error),
        };
        let (left, stale): (Vec<_>, Vec<_>) =
            works.into_iter().zip(found).partition(|(_, found)| *found);
        let only_work = |both: Vec<(Work, bool)>| both.into_iter().map(|(work, _)| work).collect();
        let (left, stale): (Vec<Work>, Vec<Work>) = (only_work(left), only_work(stale));
        self.leave(&left);
        if stale.is_empty() {
            return Ok(());
        }
        let gone = self.remove(&stale)?;
        self.settle(&gone, &vec![false; gone.len()])
    }

    /// Counts work whose rows are away, and has those woken who wait for them.
    fn settle(&mut self, works: &[Work], changed: &[bool]) -> Result<(), Error> {
        for (work, changed) in works.iter().zip(changed) {
            let tally = self.tallies.of(work.service_id);
            match changed {
                true => tally.resources_cleaned += 1,
                false => tally.resources_stale += 1,
            }
            work.key.wake_after_commit();
            work.slot.wake_after_commit();
        }
        Ok(())
    }

    fn leave(&mut self, works: &[Work]) {
        for work in works {
            self.tallies.of(work.service_id).awaiting += 1;
        }
    }

    /// For a failure that isn't about one resource.
    fn leave_all(&mut self, works: &[Work], error: Error) -> Result<(), Error> {
        if interrupts(&error) {
            return Err(error);
        }
        if let Some(first) = works.first() {
            Failures::of(self.kind).report_all(&first.resource_id, works.len() - 1, &error)?;
        }
        self.leave(works);
        Ok(())
    }

    fn seen(&self) -> Result<Vec<Work>, Error> {
        sql::CRASHED_WORK.run(&self.scope.of_kind(self.kind), Work::read)
    }

    fn remove_kind(&self) -> Result<Vec<Work>, Error> {
        let scope = self.scope.of_kind(self.kind);
        if sabotage::removed(Guard::Taken) {
            let seen = self.seen()?;
            sql::REMOVE_CRASHED_KIND.count(&scope)?;
            return Ok(seen);
        }
        sql::REMOVE_CRASHED_KIND.run(&scope, Work::read)
    }

    /// Those of them that nobody else has taken away.
    fn remove(&self, works: &[Work]) -> Result<Vec<Work>, Error> {
        let tokens: Vec<i64> = works.iter().map(|work| work.token).collect();
        let parameters = [
            self.scope.services(),
            arg(tokens),
            arg(self.kind.status.as_str()),
        ];
        sql::REMOVE_CRASHED_WORK.run(&parameters, Work::read)
    }
}

/// Takes rows away and runs the rule on their resources, in a subtransaction. Rows are gone only if the rule went through.
fn try_rule(
    repair: &Repair,
    remove: impl FnOnce() -> Result<Vec<Work>, Error>,
) -> Result<Tried, Error> {
    let mut works = Vec::new();
    let mut failure = None;
    let changed = attempt(|| {
        works = remove()?;
        match repair.run(&ids(&works)) {
            Ok(changed) => Ok(Some(changed)),
            Err(error) if interrupts(&error) => Err(error),
            Err(error) => {
                failure = Some(error);
                Ok(None)
            }
        }
    })?;
    Ok(match failure {
        Some(error) => {
            // A removal has no order of its own, and reports are to have one.
            works.sort_unstable_by_key(|work| work.token);
            Tried::Failed(works, error)
        }
        None => Tried::Done(works, changed.unwrap_or_default()),
    })
}

fn ids(works: &[Work]) -> Vec<&str> {
    works.iter().map(|work| work.resource_id.as_str()).collect()
}
