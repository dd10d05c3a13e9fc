//! The change of the row of a resource with which work begins, in an attempt to take its lock.
//!
//! The call must not wait for long for a row of the user's: the transaction that has locked that row may be about to
//! queue for the same key, or to fence the service. So the wait is cut into short ones, and between two of them the
//! call leaves the queues and releases the service lock.

use super::tracked::{Tracked, changed};
use crate::conditional_update::{Call, Documents, Outcome};
use crate::input::jsonb::Jsonb;
use crate::lock::attempts::{MayWait, Ready};
use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::wait::Deadline;
use pgrx::pg_sys::Oid;
use std::time::{Duration, Instant};

/// How long the head waits for the row of a resource at a time. Well below `deadlock_timeout`, so that a circle through
/// that row opens before Postgres looks for a deadlock.
const PATIENCE: Duration = Duration::from_millis(100);

/// A bounded lock wait may end so much early: `lock_timeout` has whole milliseconds.
const TIMER: Duration = Duration::from_millis(2);
/// How long the call waits for the row with a wait of zero.
const NO_WAIT: Duration = Duration::from_millis(1);

/// The change of a resource, and what came of it.
pub struct Change<'c> {
    tracked: &'c Tracked<'c>,
    documents: Documents<'c>,
    target: Option<Oid>,
    changed: Vec<String>,
    deadline: Deadline,
    pub outcome: Option<Outcome>,
}

impl<'c> Change<'c> {
    /// Refused to a superuser who does not name the table, and to a role that may not change the status.
    pub fn of(
        tracked: &'c Tracked,
        documents: Documents<'c>,
        target: Option<Oid>,
        role: Oid,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let set: Vec<Jsonb> = std::iter::once(documents.changes).chain(documents.changes_sql).collect();
        let changed = changed(&set);
        tracked.check_target(target, &changed)?;
        tracked.require_permission(role)?;
        Ok(Change { tracked, documents, target, changed, deadline, outcome: None })
    }

    /// Reports an error in the documents, whether or not the key is free. The check leaves no lock on the table: DDL on
    /// the table would have to wait for it while the call waits for the key.
    pub fn check(&self) -> Result<(), Error> {
        let update = self.update()?;
        if update.is_known() {
            return Ok(());
        }
        let checked = self.bounded(self.patience(), || update.check().map(|()| None::<()>));
        checked.map(drop).map_err(|error| self.tracked.explain(error))
    }

    /// To be called when the lock is free.
    pub fn ready(&mut self, may_wait: MayWait) -> Result<Ready, Error> {
        let patience = match may_wait {
            MayWait::AMoment => self.patience(),
            MayWait::No => Duration::ZERO,
        };
        let began = Instant::now();
        let updated = self.run(patience).map_err(|error| self.tracked.explain(error))?;
        let ready = match &updated {
            Some(Outcome::Updated(row)) => Ready::TakeWith(arg(self.tracked.status(*row)?)),
            // A lock wait of a trigger has failed, not that for the row: waiting again is of no use.
            None if began.elapsed() + TIMER < patience => Ready::Decline,
            None => Ready::GiveWay,
            Some(_) => Ready::Decline,
        };
        self.outcome = updated;
        Ok(ready)
    }

    /// The row as it is.
    pub fn present(&self) -> Result<Option<Outcome>, Error> {
        let row = self.update()?.present().map_err(|error| self.tracked.explain(error))?;
        Ok(row.map(Outcome::Updated))
    }

    /// Updates the row. `None` if another transaction has it locked. If the update is refused, the row isn't locked.
    fn run(&self, patience: Duration) -> Result<Option<Outcome>, Error> {
        // Made anew, for the present time.
        let update = self.update()?;
        let mut refusal = None;
        let updated = self.bounded(patience, || {
            self.tracked.check_before_update(self.target, &self.changed)?;
            Ok(match update.run()? {
                Outcome::Updated(row) => Some(Outcome::Updated(row)),
                other => {
                    refusal = Some(other);
                    None
                }
            })
        })?;
        Ok(updated.or(refusal))
    }

    fn update(&self) -> Result<Call<'c>, Error> {
        self.tracked.update(self.documents)
    }

    /// Keeps what `body` did if it returns a value, and bounds each of its lock waits.
    fn bounded<T>(
        &self,
        patience: Duration,
        body: impl FnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.deadline.attempt(patience.max(NO_WAIT), body)
    }

    /// How long to wait for the row now.
    fn patience(&self) -> Duration {
        match sabotage::removed(Guard::Patience) {
            true => self.deadline.left(),
            false => self.deadline.left().min(PATIENCE),
        }
    }
}
