//! Starts work. As head of the wait queues of the key and of the work slot, and under the service lock, the call
//! updates the row of the resource, and inserts a row into `workers` with the resource's new status.

use super::asked::Asked;
use super::begun::Begun;
use super::change::Change;
use super::tracked::Tracked;
use crate::input::argument::required;
use crate::lock::attempts::Attempts;
use crate::lock::request::{Request, Wanted, deadline};
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::service::identity;
use pgrx::datum::{Interval, Uuid};
use pgrx::fcinfo::pg_getarg;
use pgrx::pg_sys::{Datum, FunctionCallInfo};

struct Arguments<'c> {
    service_id: i64,
    asked: Asked<'c>,
    wait: Option<Interval>,
    request_id: Option<Uuid>,
}

impl Arguments<'_> {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.start_work`; they outlive the value, as does the current memory
    /// context.
    unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as its declared type.
        unsafe {
            Ok(Arguments {
                asked: Asked::read(fcinfo, 6, 9)?,
                service_id: required("service_id", pg_getarg(fcinfo, 0))?,
                wait: pg_getarg(fcinfo, 7),
                request_id: pg_getarg(fcinfo, 8),
            })
        }
    }

    fn start(&self) -> Result<Begun, Error> {
        let deadline = deadline("start_work", self.wait)?;
        let acting = identity::acting_for(self.service_id)?;
        let asked = &self.asked;
        let (tracked, resource_id) = Tracked::find_spelled(&asked.resource_type, &asked.resource_id)?;
        let mut change = Change::of(&tracked, asked.documents(), asked.target, acting.role(), deadline)?;
        let lock = Wanted {
            key: asked.key(&resource_id),
            working: true,
            tracked_in: Some(tracked.target()),
            status: None,
            details: None,
        };
        let request = Request {
            service_id: Some(self.service_id),
            cluster: &acting.cluster,
            locks: vec![lock],
            request_id: self.request_id,
            deadline,
            submitted: None,
        };
        change.check()?;
        let got = Attempts::of(&request, |may_wait| change.ready(may_wait)).run()?;
        Begun::of(got, change)
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
