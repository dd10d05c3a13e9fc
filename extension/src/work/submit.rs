//! Submits work: as `start_work`, but the new row of `workers` has no service. It waits for one of a cluster.
//!
//! The caller needs no service. It must be the cluster's owner, or have been granted to submit to it.

use super::asked::Asked;
use super::begun::Begun;
use super::change::Change;
use super::submit_request::SubmitRequest;
use super::tracked::Tracked;
use crate::input::argument;
use crate::lock::attempts::{Attempts, Got, MayWait, Ready};
use crate::lock::request::{Request, Wanted};
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::{Arg, arg};
use crate::sabotage::{self, Guard};
use crate::service::cluster::Entered;
use crate::store::write::Submitted;
use crate::wait::Deadline;
use crate::wait::bell::Ring;
use pgrx::datum::Uuid;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, TimestampTz};
use std::ffi::CString;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Each priority in use is a lane of its own, which each `next_work` looks at.
const PRIORITIES: RangeInclusive<i32> = -100..=100;

struct Arguments<'c> {
    cluster: String,
    asked: Asked<'c>,
    operation: String,
    host: String,
    details: Arg,
    request_id: Option<Uuid>,
    priority: i32,
    not_before: Option<TimestampTz>,
}

impl Arguments<'_> {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.submit_work`; they outlive the value, as does the current memory
    /// context.
    unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as its declared type.
        unsafe {
            let text = |number| pg_getarg::<String>(fcinfo, number);
            let cluster = text(0);
            Ok(Arguments {
                cluster: argument::name("cluster", cluster.as_deref())?.to_owned(),
                asked: Asked::read(fcinfo, 9, 13)?,
                operation: argument::optional_name("operation", text(6))?,
                host: argument::optional_name("host", text(7))?,
                details: pg_getarg_datum(fcinfo, 8),
                request_id: pg_getarg(fcinfo, 10),
                priority: priority(pg_getarg(fcinfo, 11))?,
                not_before: not_before(pg_getarg_datum(fcinfo, 12))?,
            })
        }
    }

    fn submit(&self) -> Result<Begun, Error> {
        let deadline = Deadline::after(Duration::ZERO);
        let asked = &self.asked;
        let (tracked, resource_id) = Tracked::find_spelled(&asked.resource_type, &asked.resource_id)?;
        let mut change = Change::of(&tracked, asked.documents(), asked.target, owner::caller(), deadline)?;
        let role = CString::new(owner::name(owner::caller())).expect("a name has no NUL character");
        let entered = Entered::to_submit(&self.cluster)?;
        change.check()?;
        let request = self.request_id.map(|id| SubmitRequest::begin(&role, id)).transpose()?;
        let earlier = match &request {
            Some(request) => request.work_on(&asked.resource_type, &resource_id)?,
            None => None,
        };
        let got = match earlier {
            Some(work_id) => Got::HeldByRequest(vec![work_id]),
            None => {
                let submitted = Submitted {
                    operation: &self.operation,
                    host: &self.host,
                    priority: self.priority,
                    not_before: self.not_before,
                    submitted_by: &role,
                    request_id: self.request_id.and_then(arg),
                };
                let lock = Wanted {
                    key: asked.key(&resource_id),
                    working: true,
                    tracked_in: Some(tracked.target()),
                    status: None,
                    details: self.details,
                };
                let request = Request {
                    service_id: None,
                    cluster: &self.cluster,
                    locks: vec![lock],
                    request_id: None,
                    deadline,
                    submitted: Some(&submitted),
                };
                take(&request, &mut change)?
            }
        };
        if matches!(got, Got::Tokens(_)) {
            Ring::of(&self.cluster, &self.host, &asked.resource_type, &self.operation).after_commit();
        } else {
            entered.leave();
            if let Some(request) = request {
                request.end();
            }
        }
        Begun::of(got, change)
    }
}

fn take(request: &Request, change: &mut Change) -> Result<Got, Error> {
    if sabotage::removed(Guard::SubmitTogether) {
        let ready = change.ready(MayWait::AMoment)?;
        let status = match ready {
            Ready::TakeWith(status) => status,
            _ => return Ok(Got::Declined),
        };
        return Attempts::of(request, |_| Ok(Ready::TakeWith(status))).run();
    }
    Attempts::of(request, |may_wait| change.ready(may_wait)).run()
}

fn priority(priority: Option<i32>) -> Result<i32, Error> {
    let priority = priority.unwrap_or_default();
    match PRIORITIES.contains(&priority) {
        true => Ok(priority),
        false => {
            let hint = "Use a few classes of work, such as -10, 0 and 10.";
            Err(Error::invalid("priority", "must be from -100 to 100", hint))
        }
    }
}

/// One that has passed is now.
fn not_before(at: Option<Datum>) -> Result<Option<TimestampTz>, Error> {
    let at = at.map(|at| at.value() as TimestampTz);
    match at {
        Some(TimestampTz::MAX) => {
            let hint = "Work that is never due would keep its resource for ever. Pass a time.";
            Err(Error::invalid("not_before", "must not be infinity", hint))
        }
        at => Ok(at),
    }
}

/// Without `pg_extern`, as `conditional_update`.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.submit_work`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn submit_work_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those of the declared function, and live while it runs.
        unsafe { Ok(Arguments::read(fcinfo)?.submit()?.into_tuple(fcinfo)) }
    })
}

export! {
    volguard_submit_work, pg_finfo_volguard_submit_work => submit_work_wrapper;
}
