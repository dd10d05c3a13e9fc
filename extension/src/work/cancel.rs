//! Cancels submitted work while it waits: its row of `workers` is deleted, and the row of its resource updated, both or
//! neither.

use super::tracked::{Tracked, changed};
use crate::conditional_update::{Documents, Outcome, no_names};
use crate::input::argument::required;
use crate::input::jsonb::Jsonb;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::export::{composite, export, verb};
use crate::pg::spi::arg;
use crate::pg::{lookup_locks, owner};
use crate::sabotage::{self, Guard};
use crate::service::{cluster, operator};
use crate::store::ended::{self, Ending};
use crate::store::{removal, sql};
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, Oid};

/// Work that waits for a service.
struct Waiting {
    resource_type: String,
    resource_id: String,
    cluster: String,
    submitted_by: String,
}

impl Waiting {
    /// No lock on a table is left, since the call may wait next.
    fn find(work_id: i64) -> Result<Option<Self>, Error> {
        lookup_locks::given_back(|| {
            sql::WAITING.run(&[arg(work_id)], |rows| {
                let text = |column| rows.get::<String>(0, column);
                Some(Waiting {
                    resource_type: text(0)?,
                    resource_id: text(1)?,
                    cluster: text(2)?,
                    submitted_by: text(3)?,
                })
            })
        })
    }

    fn permit(&self, work_id: i64) -> Result<(), Error> {
        let permitted = owner::caller_is_named(&self.submitted_by)
            || cluster::is_owned_by_caller(&self.cluster)?
            || operator::caller_is_one()?
            || sabotage::removed(Guard::MayCancel);
        match permitted {
            true => Ok(()),
            false => Err(Error::Denied {
                what: format!("work {work_id} was submitted by another role"),
                hint: "The role that submitted it, the owner of its cluster and operators may cancel it.",
            }),
        }
    }
}

/// The row as updated; `None` if nothing is to be updated.
fn cancel(work_id: i64, changes: Option<Jsonb>, target: Option<Oid>) -> Result<Option<Outcome>, Error> {
    let Some(waiting) = Waiting::find(work_id)? else {
        return Ok(Some(Outcome::Fenced));
    };
    waiting.permit(work_id)?;
    let Some(changes) = changes else {
        return Ok(if take_out(work_id)? { None } else { Some(Outcome::Fenced) });
    };
    let tracked = Tracked::find(&waiting.resource_type, &waiting.resource_id)?;
    let changed = changed(&[changes]);
    tracked.check_target(target, &changed)?;
    let documents = Documents { changes, expected: Jsonb::empty(), filter: None, filter_sql: None, changes_sql: None };
    let update = tracked.update(documents)?;
    let mut refusal = Outcome::Fenced;
    let done = attempt(|| {
        if !take_out(work_id)? {
            return Ok(None);
        }
        tracked.check_before_update(target, &changed)?;
        Ok(match update.run()? {
            Outcome::Updated(row) => Some(Outcome::Updated(row)),
            other => {
                refusal = other;
                None
            }
        })
    });
    let done = done.map_err(|error| tracked.explain(error))?;
    Ok(Some(done.unwrap_or(refusal)))
}

/// Takes work out of the queue. False if a service has it by now, or it has ended.
fn take_out(work_id: i64) -> Result<bool, Error> {
    // Before its row is locked: what is noted for work that a service takes meanwhile is undone.
    attempt(|| {
        ended::note(&[work_id], Ending::Cancelled)?;
        Ok((removal::remove(&sql::CANCEL, &[arg(work_id)])? == 1).then_some(()))
    })
    .map(|done| done.is_some())
}

/// Without `pg_extern`, as `conditional_update`.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.cancel_work`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn cancel_work_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those of the declared function, and live while it runs.
        unsafe {
            let work_id = required("work_id", pg_getarg(fcinfo, 0))?;
            let changes = pg_getarg_datum(fcinfo, 1).map(|changes| Jsonb::new(changes));
            Ok(match cancel(work_id, changes, pg_getarg(fcinfo, 2))? {
                Some(outcome) => outcome.into_tuple(fcinfo),
                None => composite(fcinfo, [arg("updated"), arg(0i64), None, no_names()]),
            })
        }
    })
}

export! {
    volguard_cancel_work, pg_finfo_volguard_cancel_work => cancel_work_wrapper;
}
