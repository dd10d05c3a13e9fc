//! Passes work on: its holder puts it into a queue for the next step, and updates the row of its resource, both or
//! neither.
//!
//! The row of `workers` stays, with the lock and the work slot: no other operation gets in between, and calls that wait
//! for the lock sleep on.

use super::tracked::{Tracked, changed};
use crate::conditional_update::{Documents, Outcome, no_names};
use crate::input::argument::{self, required};
use crate::input::jsonb::Jsonb;
use crate::lock::release;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::export::{composite, export, verb};
use crate::pg::spi::{Arg, arg};
use crate::sabotage::{self, Guard};
use crate::service::cluster::Entered;
use crate::service::fence::{self, Holder};
use crate::service::service_lock::ServiceLock;
use crate::store::liveness::Liveness;
use crate::store::sql;
use crate::store::tables::Tables;
use crate::wait::bell::Ring;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, Oid};

struct Arguments<'c> {
    token: i64,
    operation: String,
    cluster: Option<String>,
    host: String,
    changes: Jsonb<'c>,
    details: Arg,
    target: Option<Oid>,
}

impl Arguments<'_> {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.pass_work`; they outlive the value.
    unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as its declared type.
        unsafe {
            let text = |number| pg_getarg::<String>(fcinfo, number);
            let (operation, cluster) = (text(1), text(2));
            argument::name("operation", operation.as_deref())?;
            if cluster.is_some() {
                argument::name("cluster", cluster.as_deref())?;
            }
            Ok(Arguments {
                token: required("token", pg_getarg(fcinfo, 0))?,
                operation: required("operation", operation)?,
                cluster,
                host: argument::optional_name("host", text(3))?,
                changes: pg_getarg_datum(fcinfo, 4).map_or_else(Jsonb::empty, |changes| Jsonb::new(changes)),
                details: pg_getarg_datum(fcinfo, 5),
                target: pg_getarg(fcinfo, 6),
            })
        }
    }

    /// The row as updated; `None` if nothing is to be updated.
    fn pass(&self) -> Result<Option<Outcome>, Error> {
        let Some(holder) = fence::holder(self.token)? else {
            return Ok(Some(Outcome::Fenced));
        };
        let held = &holder.held;
        if held.work_id.is_none() {
            let hint = "Only work of submit_work has a queue. End this with volguard.finish_work, or submit it anew.";
            return Err(Error::invalid("token", "is not that of submitted work", hint));
        }
        let other_cluster = self.cluster.as_deref().filter(|cluster| *cluster != &*holder.cluster);
        let entered = other_cluster.map(Entered::to_submit).transpose()?;
        let service_lock = ServiceLock::of(held.service_id);
        let passed = match changed(&[self.changes]).as_slice() {
            [] if self.changes.is_object() => {
                service_lock.lock_shared()?;
                attempt(|| Ok(self.put(&holder, None)?.then_some(None)))?.unwrap_or(Some(Outcome::Fenced))
            }
            columns => {
                let tracked = Tracked::find(&held.resource_type, &held.resource_id)?;
                tracked.check_target(self.target, columns)?;
                let outcome = self.change_and_put(&holder, &tracked, columns, &service_lock);
                Some(outcome.map_err(|error| tracked.explain(error))?)
            }
        };
        match passed {
            None | Some(Outcome::Updated(_)) => holder.record_release("pass_work")?,
            _ => {
                service_lock.unlock_shared();
                if let Some(entered) = entered {
                    entered.leave();
                }
            }
        }
        Ok(passed)
    }

    /// The row of `workers` is locked first: who has checked the token has it locked, and may go on to that of the
    /// resource.
    fn change_and_put(
        &self,
        holder: &Holder,
        tracked: &Tracked,
        columns: &[String],
        service_lock: &ServiceLock,
    ) -> Result<Outcome, Error> {
        let documents = Documents {
            changes: self.changes,
            expected: Jsonb::empty(),
            filter: None,
            filter_sql: None,
            changes_sql: None,
        };
        let update = tracked.update(documents)?;
        service_lock.lock_shared()?;
        let mut refusal = Outcome::Fenced;
        let done = attempt(|| {
            if sql::LOCK_SUBMITTED.count(&[arg(self.token)])? == 0 {
                return Ok(None);
            }
            tracked.check_before_update(self.target, columns)?;
            match update.run()? {
                Outcome::Updated(row) => {
                    let status = tracked.status(row)?;
                    Ok(self.put(holder, arg(status))?.then_some(Outcome::Updated(row)))
                }
                other => {
                    refusal = other;
                    Ok(None)
                }
            }
        })?;
        Ok(done.unwrap_or(refusal))
    }

    /// Puts it into the queue. False if the token is not held. Only under the service lock.
    fn put(&self, holder: &Holder, status: Arg) -> Result<bool, Error> {
        let held = &holder.held;
        if Tables::open()?.liveness(held.service_id)? == Liveness::Fenced {
            return Ok(false);
        }
        if sabotage::removed(Guard::RowStays) {
            return release::end(&Tables::open()?, held);
        }
        let cluster = self.cluster.as_deref().unwrap_or(&holder.cluster);
        let parameters = [arg(self.token), arg(cluster), arg(&*self.host), arg(&*self.operation), status, self.details];
        if sql::PASS.count(&parameters)? == 0 {
            return Ok(false);
        }
        Ring::of(cluster, &self.host, &held.resource_type, &self.operation).after_commit();
        Ok(true)
    }
}

/// Without `pg_extern`, as `conditional_update`.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.pass_work`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn pass_work_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those of the declared function, and live while it runs.
        unsafe {
            Ok(match Arguments::read(fcinfo)?.pass()? {
                Some(outcome) => outcome.into_tuple(fcinfo),
                None => composite(fcinfo, [arg("updated"), arg(0i64), None, no_names()]),
            })
        }
    })
}

export! {
    volguard_pass_work, pg_finfo_volguard_pass_work => pass_work_wrapper;
}
