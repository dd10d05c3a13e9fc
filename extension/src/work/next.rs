//! `next_work`: hands submitted work to a service, of the largest priority, for its own host before that for any, the
//! oldest.

use super::lane::Wishes;
use super::taker::Taker;
use crate::input::argument;
use crate::lock::request::deadline_of;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::rows::return_rows;
use crate::service::identity;
use crate::store::hand_out::HandedOut;
use crate::wait::{Deadline, RequestTurn};
use pgrx::datum::Uuid;
use pgrx::fcinfo::pg_getarg;
use pgrx::pg_sys::{Datum, FunctionCallInfo};

struct Arguments {
    service_id: i64,
    max_rows: usize,
    wishes: Wishes,
    deadline: Deadline,
    request_id: Option<Uuid>,
}

impl Arguments {
    /// # Safety
    /// `fcinfo` holds the arguments of `volguard.next_work`.
    unsafe fn read(fcinfo: FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: each argument is read as its declared type.
        unsafe {
            Ok(Arguments {
                service_id: argument::required("service_id", pg_getarg(fcinfo, 0))?,
                max_rows: argument::at_least_one(pg_getarg(fcinfo, 1).unwrap_or(1))?,
                wishes: Wishes::read(pg_getarg(fcinfo, 2), pg_getarg(fcinfo, 3))?,
                deadline: deadline_of("next_work", argument::wait_for_work(pg_getarg(fcinfo, 4))?)?,
                request_id: pg_getarg(fcinfo, 5),
            })
        }
    }

    fn take(&self) -> Result<Vec<HandedOut>, Error> {
        let Arguments { service_id, max_rows, ref wishes, deadline, request_id } = *self;
        let acting = identity::acting_for(service_id)?;
        let turn = request_id.map(|id| RequestTurn::of_service(service_id, id)).transpose()?;
        let taker = Taker { service_id, acting, max_rows, wishes, request_id };
        let mut work = taker.held_by_request()?;
        let is_new = work.is_empty();
        if is_new {
            work = taker.take_within(&deadline)?;
        }
        if let (Some(turn), true) = (turn, work.is_empty() || !is_new) {
            turn.end();
        }
        Ok(work)
    }
}

/// Without `pg_extern`, as `conditional_update`.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.next_work`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn next_work_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those of the declared function, and live while it runs; so are the columns.
        unsafe { return_rows(fcinfo, Arguments::read(fcinfo)?.take()?) }
    })
}

export! {
    volguard_next_work, pg_finfo_volguard_next_work => next_work_wrapper;
}
