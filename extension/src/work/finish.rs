//! Finishes work: deletes the row of `workers` and updates the row of the resource.
//!
//! In this order, because a transaction that has checked the token has the row of `workers` locked, and may go on to
//! that of the resource. If the update does nothing, the release is undone.

use super::tracked::{Tracked, changed};
use crate::conditional_update::{Documents, Outcome};
use crate::input::argument::required;
use crate::input::jsonb::Jsonb;
use crate::lock::release;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::sabotage::{self, Guard};
use crate::service::fence;
use crate::service::service_lock::ServiceLock;
use crate::store::lookup::Held;
use crate::store::tables::Tables;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, Oid};

fn finish(token: i64, changes: Jsonb, target: Option<Oid>) -> Result<Outcome, Error> {
    let Some(holder) = fence::holder(token)? else {
        return Ok(Outcome::Fenced);
    };
    let held = &holder.held;
    let tracked = Tracked::find(&held.resource_type, &held.resource_id)?;
    let changed = changed(&[changes]);
    tracked.check_target(target, &changed)?;
    let documents = Documents { changes, expected: Jsonb::empty(), filter: None, filter_sql: None, changes_sql: None };
    let update = tracked.update(documents)?;
    // So that no fence comes before the commit.
    let service_lock = ServiceLock::of(held.service_id);
    service_lock.lock_shared()?;
    let outcome = give_back(&Tables::open()?, held, || {
        tracked.check_before_update(target, &changed)?;
        update.run()
    });
    let outcome = outcome.map_err(|error| tracked.explain(error))?;
    match outcome {
        Outcome::Updated(_) => holder.record_release("finish_work")?,
        _ => service_lock.unlock_shared(),
    }
    Ok(outcome)
}

/// Releases the lock and updates the row, both or neither.
fn give_back(tables: &Tables, held: &Held, update: impl FnOnce() -> Result<Outcome, Error>) -> Result<Outcome, Error> {
    let mut refusal = Outcome::Fenced;
    let done = attempt(|| {
        if sabotage::removed(Guard::ReleaseFirst) {
            let outcome = update()?;
            return Ok(release::end(tables, held)?.then_some(outcome));
        }
        if !release::end(tables, held)? {
            return Ok(None);
        }
        Ok(match update()? {
            Outcome::Updated(row) => Some(Outcome::Updated(row)),
            other => {
                refusal = other;
                None
            }
        })
    })?;
    Ok(done.unwrap_or(refusal))
}

/// Without `pg_extern`, as `conditional_update`.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.finish_work`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn finish_work_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those of the declared function, and live while it runs.
        unsafe {
            let token = required("token", pg_getarg(fcinfo, 0))?;
            let changes = required("changes", pg_getarg_datum(fcinfo, 1))?;
            Ok(finish(token, Jsonb::new(changes), pg_getarg(fcinfo, 2))?.into_tuple(fcinfo))
        }
    })
}

export! {
    volguard_finish_work, pg_finfo_volguard_finish_work => finish_work_wrapper;
}
