//! Application-level cleanup: work of crashed services that no crash rule repairs is handed to live services.
//!
//! Claimed work is a lock of the claimer, under a new token, in a row that remembers which service crashed. What the
//! claimer leaves when it dies can be claimed again, or cleaned by a rule, as any other work of a dead service.
//!
//! A claim uses try-lock only: it passes over services whose locks are taken, and work whose rows are locked. It
//! waits only for rows that a crash rule writes, for a fence of the claimer, and for a call that it repeats.

use super::claim_request::ClaimRequest;
use super::pool::{self, ClaimedRow};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::{Arg, arg};
use crate::service::fence;
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::liveness::Liveness;
use crate::store::removal;
use crate::store::sql::{self, Statement};
use crate::store::tables::Tables;
use crate::store::token;
use pgrx::datum::{AnyElement, Uuid};
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "pgrx takes no alias here")]
fn claim_cleanup(
    service_id: Option<i64>,
    max_rows: Option<i32>,
    resource_type: Option<&str>,
    request_id: Option<Uuid>,
) -> TableIterator<'static, (i64, String, String, String, String, i64, Option<AnyElement>)> {
    let rows: Vec<ClaimedRow> = verb(Vec::new(), || {
        let service_id = argument::required("service_id", service_id)?;
        let max_rows = at_least_one(max_rows.unwrap_or(1))?;
        if resource_type.is_some() {
            argument::name("resource_type", resource_type)?;
        }
        let cluster = identity::acting_for(service_id)?.cluster;
        let request = request_id.map(|id| ClaimRequest::begin(service_id, id)).transpose()?;
        let guard = ServiceLock::of(service_id);
        guard.lock_shared()?;
        let liveness = Tables::open()?.liveness(service_id)?;
        if liveness == Liveness::Fenced {
            return Err(Error::ServiceFenced(service_id));
        }
        let held = request.as_ref().map_or(Ok(Vec::new()), ClaimRequest::held)?;
        if held.is_empty() {
            if liveness == Liveness::Expired {
                return Err(Error::LeaseExpired(service_id));
            }
            let claimed = pool::claim(service_id, &cluster, request_id, resource_type, max_rows)?;
            // Under the service lock it stays the service's until the commit.
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        guard.unlock_shared();
        if let Some(request) = request {
            request.end();
        }
        Ok(held)
    });
    TableIterator::new(rows)
}

fn at_least_one(max_rows: i32) -> Result<usize, Error> {
    let rows = usize::try_from(max_rows).ok().filter(|rows| *rows > 0);
    rows.ok_or_else(|| {
        let hint = "Pass how many pieces of work the service wants at most.";
        Error::invalid("max_rows", "must be positive", hint)
    })
}

#[pg_extern(sql = false)]
fn finish_cleanup(token: Option<i64>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        end(token, || removal::remove(&sql::FINISH_CLEANUP, &[arg(token)]))
    })
}

#[pg_extern(sql = false)]
fn abandon_cleanup(token: Option<i64>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        end(token, || give_back(&sql::LOCK_CLAIM, &[arg(token)]))
    })
}

/// Ends a claim by one of its two statements, under the claimer's service lock.
fn end(token: i64, statement: impl FnOnce() -> Result<usize, Error>) -> Result<Option<bool>, Error> {
    let Some(service_id) = claimer(token)? else {
        return Ok(Some(false));
    };
    let guard = ServiceLock::of(service_id);
    guard.lock_shared()?;
    let ended = statement()? == 1;
    if !ended {
        guard.unlock_shared();
    }
    Ok(Some(ended))
}

/// The service that has claimed work under this token; `None` if nothing has it.
fn claimer(token: i64) -> Result<Option<i64>, Error> {
    let found = sql::CLAIM_OF_TOKEN.run(&[arg(token)], |rows| {
        let registered_by = rows.get::<Oid>(0, 2)?;
        Some((rows.get(0, 0)?, rows.get(0, 1)?, registered_by))
    })?;
    match found {
        None => Ok(None),
        Some((_, _, registered_by)) if !owner::caller_is(registered_by) => Err(fence::not_yours(token)),
        Some((_, false, _)) => {
            let problem = "is that of a lock, not of claimed work";
            let hint = "Give the lock back with volguard.release.";
            Err(Error::invalid("token", problem, hint))
        }
        Some((service_id, true, _)) => Ok(Some(service_id)),
    }
}

/// Gives back what the service has claimed and doesn't know of. Under its lock; it isn't fenced.
pub fn abandon_unknown(service_id: i64, known: &[i64]) -> Result<usize, Error> {
    abandon(&sql::LOCK_UNKNOWN_CLAIMS, service_id, arg(known.to_vec()))
}

/// Gives back what the service has claimed by these requests. Under its lock; it isn't fenced.
pub fn abandon_requests(service_id: i64, request_ids: &[Uuid]) -> Result<usize, Error> {
    abandon(&sql::LOCK_CLAIMS_OF_REQUESTS, service_id, arg(request_ids.to_vec()))
}

fn abandon(lock: &Statement, service_id: i64, list: Arg) -> Result<usize, Error> {
    give_back(lock, &[arg(service_id), list])
}

/// Gives back the claims that `lock` finds, under new tokens.
fn give_back(lock: &Statement, args: &[Arg]) -> Result<usize, Error> {
    let claims = lock.run(args, |rows| rows.each(|row| rows.get::<i64>(row, 0)))?;
    if claims.is_empty() {
        return Ok(0);
    }
    let new = token::draw_for(&Tables::open()?, &claims)?;
    removal::remove(&sql::GIVE_BACK, &[arg(claims), arg(new)])
}

export! {
    volguard_claim_cleanup, pg_finfo_volguard_claim_cleanup => claim_cleanup_wrapper;
    volguard_finish_cleanup, pg_finfo_volguard_finish_cleanup => finish_cleanup_wrapper;
    volguard_abandon_cleanup, pg_finfo_volguard_abandon_cleanup => abandon_cleanup_wrapper;
}
