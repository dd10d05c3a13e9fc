//! Starts work. As head of the wait queues of the key and of the work slot, and under the service lock, the call
//! updates the row of the resource, and inserts a row into `workers` with the resource's new status.
//!
//! The head must not wait for long for a row of the user's: the transaction that has locked that row may be about to
//! queue for the same key, or to fence the service. So the wait is cut into short ones, and between two of them the
//! call leaves the queues and releases the service lock.

use super::tracked::Tracked;
use crate::conditional_update::{Call, Documents, Outcome, no_names};
use crate::input::argument::{self, required};
use crate::input::jsonb::Jsonb;
use crate::lock::attempts::{Attempts, Got, Ready};
use crate::lock::request::{Request, Wanted, deadline};
use crate::pg::error::Error;
use crate::pg::export::{composite, export, verb};
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::service::identity;
use crate::store::key::Key;
use crate::store::spelling;
use crate::wait::Deadline;
use pgrx::datum::{Interval, Uuid};
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, Oid};
use std::time::{Duration, Instant};

/// How long the head waits for the row of a resource at a time. Well below `deadlock_timeout`, so that a circle through
/// that row opens before Postgres looks for a deadlock.
const PATIENCE: Duration = Duration::from_millis(100);

/// A bounded lock wait may end so much early: `lock_timeout` has whole milliseconds.
const TIMER: Duration = Duration::from_millis(2);
/// How long the call waits for the row with a wait of zero.
const NO_WAIT: Duration = Duration::from_millis(1);

struct Arguments<'c> {
    service_id: i64,
    resource_type: String,
    resource_id: String,
    changes: Jsonb<'c>,
    expected: Jsonb<'c>,
    filter: Option<Jsonb<'c>>,
    lock_name: String,
    wait: Option<Interval>,
    request_id: Option<Uuid>,
    target: Option<Oid>,
    filter_sql: Option<String>,
    changes_sql: Option<Jsonb<'c>>,
}

/// The result of a call.
enum Started {
    /// With the token, and the row as updated, or as it is now if an earlier call of the request has updated it.
    Updated(i64, Option<Outcome>),
    Refused(Outcome),
    Locked,
}

impl Arguments<'_> {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.start_work`; they outlive the value, as does the current memory
    /// context.
    unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as its declared type.
        unsafe {
            let text = |number| pg_getarg::<String>(fcinfo, number);
            let document = |number| pg_getarg_datum(fcinfo, number).map(|datum| Jsonb::new(datum));
            let (resource_type, resource_id, lock_name) = (text(1), text(2), text(6));
            argument::name("resource_type", resource_type.as_deref())?;
            argument::resource_id(resource_id.as_deref())?;
            argument::lock_name(lock_name.as_deref())?;
            Ok(Arguments {
                service_id: required("service_id", pg_getarg(fcinfo, 0))?,
                resource_type: required("resource_type", resource_type)?,
                resource_id: required("resource_id", resource_id)?,
                changes: required("changes", document(3))?,
                expected: document(4).unwrap_or_else(Jsonb::empty),
                filter: document(5),
                lock_name: lock_name.unwrap_or_default(),
                wait: pg_getarg(fcinfo, 7),
                request_id: pg_getarg(fcinfo, 8),
                target: pg_getarg(fcinfo, 9),
                filter_sql: text(10),
                changes_sql: document(11),
            })
        }
    }

    fn start(&self) -> Result<Started, Error> {
        let deadline = deadline("start_work", self.wait)?;
        let cluster = identity::acting_for(self.service_id)?.cluster;
        let resource_id = spelling::spell(&self.resource_type, &self.resource_id, "resource_id")?;
        let tracked = Tracked::find(&self.resource_type, &resource_id)?;
        tracked.check_target(self.target)?;
        let update = self.update(&tracked)?;
        let lock = Wanted {
            key: Key::new(&self.resource_type, &resource_id, &self.lock_name),
            working: true,
            status: None,
            details: None,
        };
        let request = Request {
            service_id: self.service_id,
            cluster: &cluster,
            locks: vec![lock],
            request_id: self.request_id,
            deadline,
        };
        check(&deadline, &update).map_err(|error| tracked.explain(error))?;
        let mut outcome = None;
        let attempts = Attempts::of(&request, || {
            let (began, patience) = (Instant::now(), patience(&deadline));
            // Made anew, for the present time.
            let changed = change(&deadline, &self.update(&tracked)?).map_err(|error| tracked.explain(error))?;
            let ready = match &changed {
                Some(Outcome::Updated(row)) => Ready::TakeWith(arg(tracked.status(*row)?)),
                // A lock wait of a trigger has failed, not that for the row: waiting again is of no use.
                None if began.elapsed() + TIMER < patience => Ready::Decline,
                None => Ready::GiveWay,
                Some(_) => Ready::Decline,
            };
            outcome = changed;
            Ok(ready)
        });
        Ok(match attempts.run()? {
            Got::Tokens(tokens) => Started::Updated(tokens[0], outcome),
            Got::HeldByRequest(tokens) => {
                let present = update.present();
                let row = present.map_err(|error| tracked.explain(error))?;
                Started::Updated(tokens[0], row.map(Outcome::Updated))
            }
            Got::NotFree => Started::Locked,
            Got::Declined => outcome.map_or(Started::Locked, Started::Refused),
        })
    }

    fn update<'c>(&'c self, tracked: &Tracked) -> Result<Call<'c>, Error> {
        tracked.update(Documents {
            changes: self.changes,
            expected: self.expected,
            filter: self.filter,
            filter_sql: self.filter_sql.as_deref(),
            changes_sql: self.changes_sql,
        })
    }
}

/// Reports an error in the arguments, whether or not the key is free. The check leaves no lock on the table: DDL on the
/// table would have to wait for it while the call waits for the key.
fn check(deadline: &Deadline, update: &Call) -> Result<(), Error> {
    if update.is_known() {
        return Ok(());
    }
    bounded(deadline, || update.check().map(|()| None::<()>)).map(drop)
}

/// Updates the row. `None` if another transaction has it locked. If the update is refused, the row isn't locked.
fn change(deadline: &Deadline, update: &Call) -> Result<Option<Outcome>, Error> {
    let mut refusal = None;
    let updated = bounded(deadline, || {
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

/// Keeps what `body` did if it returns a value, and bounds each of its lock waits.
fn bounded<T>(deadline: &Deadline, body: impl FnOnce() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    deadline.attempt(patience(deadline).max(NO_WAIT), body)
}

/// How long to wait for the row now.
fn patience(deadline: &Deadline) -> Duration {
    match sabotage::removed(Guard::Patience) {
        true => deadline.left(),
        false => deadline.left().min(PATIENCE),
    }
}

impl Started {
    /// The tuple `(token, outcome, row, unmet)`.
    ///
    /// # Safety
    /// `fcinfo` is that of a running function that is declared to return `volguard.work_result`.
    unsafe fn into_tuple(self, fcinfo: FunctionCallInfo) -> Datum {
        let (token, [outcome, row, unmet]) = match self {
            Started::Updated(token, Some(outcome)) => (arg(token), outcome.fields()),
            // An earlier call of the request has started the work, and the row is gone or hidden by now.
            Started::Updated(token, None) => (arg(token), [arg("updated"), None, no_names()]),
            Started::Refused(outcome) => (None, outcome.fields()),
            Started::Locked => (None, [arg("locked"), None, no_names()]),
        };
        // SAFETY: the caller's promise.
        unsafe { composite(fcinfo, [token, outcome, row, unmet]) }
    }
}

/// Without `pg_extern`, as `conditional_update`.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.start_work`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn start_work_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those of the declared function, and live while it runs.
        unsafe { Ok(Arguments::read(fcinfo)?.start()?.into_tuple(fcinfo)) }
    })
}

export! {
    volguard_start_work, pg_finfo_volguard_start_work => start_work_wrapper;
}
