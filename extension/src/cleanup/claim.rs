//! Application-level cleanup: work of crashed services that no crash rule repairs is handed to live services.
//!
//! Claimed work is a lock of the claimer, under a new token, in a row that remembers which service crashed. What the
//! claimer leaves when it dies can be claimed again, or cleaned by a rule, as any other work of a dead service.
//!
//! A claim uses try-lock only: it passes over services whose locks are taken, and work whose rows are locked. It
//! waits only for rows that a crash rule writes, for a fence of the claimer, and for a call that it repeats.

use super::claim_filter::ClaimFilter;
use super::pool::{self, ClaimedRow};
use super::selection::{by_name, by_resource_id};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::lookup_locks;
use crate::pg::owner::{self, Right};
use crate::pg::spi::{Arg, arg};
use crate::service::fence;
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::ended::{self, Ending};
use crate::store::liveness::Liveness;
use crate::store::removal;
use crate::store::sql::{self, Statement};
use crate::store::tables::Tables;
use crate::store::token;
use crate::wait::RequestTurn;
use pgrx::datum::{AnyElement, TimestampWithTimeZone, Uuid};
use pgrx::iter::TableIterator;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the SQL interface")]
#[allow(clippy::type_complexity, reason = "pgrx takes no alias here")]
fn claim_cleanup(
    service_id: Option<i64>,
    max_rows: Option<i32>,
    resource_type: Option<&str>,
    request_id: Option<Uuid>,
    resource_id: Option<&str>,
    host: Option<&str>,
    binary_name: Option<&str>,
    crashed_service_id: Option<i64>,
    until: Option<TimestampWithTimeZone>,
) -> TableIterator<'static, (i64, String, String, String, String, i64, Option<AnyElement>)> {
    let rows: Vec<ClaimedRow> = verb(Vec::new(), || {
        let service_id = argument::required("service_id", service_id)?;
        let max_rows = argument::at_least_one(max_rows.unwrap_or(1))?;
        let filter = ClaimFilter {
            resource_type: by_name("resource_type", resource_type)?,
            resource_id: by_resource_id(resource_type, resource_id)?,
            host: by_name("host", host)?,
            binary_name: by_name("binary_name", binary_name)?,
            crashed_service_id,
            until: until.and_then(arg),
        };
        lookup_locks::given_back(|| identity::acting_for(service_id))?;
        let turn = request_id.map(|id| RequestTurn::of_service(service_id, id)).transpose()?;
        let guard = ServiceLock::of(service_id);
        guard.lock_shared()?;
        let liveness = lookup_locks::given_back(|| Tables::open()?.liveness(service_id))?;
        if liveness == Liveness::Fenced {
            return Err(Error::ServiceFenced(service_id));
        }
        let held = lookup_locks::given_back(|| match request_id {
            Some(id) => pool::held_by_request(service_id, id),
            None => Ok(Vec::new()),
        })?;
        if held.is_empty() {
            if matches!(liveness, Liveness::Expired | Liveness::Broken) {
                return Err(Error::LeaseExpired(service_id));
            }
            let claimed = pool::claim(service_id, request_id, filter, max_rows)?;
            // Under the service lock it stays the service's until the commit.
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        guard.unlock_shared();
        if let Some(turn) = turn {
            turn.end();
        }
        Ok(held)
    });
    TableIterator::new(rows)
}

#[pg_extern(sql = false)]
fn finish_cleanup(token: Option<i64>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        end(token, || {
            let holder = fence::holder(token)?;
            if holder.as_ref().is_some_and(|holder| holder.held.work_id.is_some()) {
                ended::note(&[token], Ending::Cleaned)?;
            }
            let ended = removal::remove(&sql::FINISH_CLEANUP, &[arg(token)])?;
            if let Some(holder) = holder.filter(|_| ended > 0) {
                holder.record_release("finish_cleanup")?;
            }
            Ok(ended)
        })
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
        let registered_by = rows.get::<String>(0, 2)?;
        Some((rows.get(0, 0)?, rows.get(0, 1)?, registered_by))
    })?;
    match found {
        None => Ok(None),
        Some((_, _, registered_by)) if !owner::caller_is_named(&registered_by) => Err(fence::not_yours(token)),
        Some((_, false, _)) => {
            let problem = "is that of a lock, not of claimed work";
            let hint = "Give the lock back with volguard.release.";
            Err(Error::invalid("token", problem, hint))
        }
        Some((service_id, true, _)) => Ok(Some(service_id)),
    }
}

/// Gives back claims of a service. Under its lock; it isn't fenced.
pub fn abandon(claims: &[i64]) -> Result<i64, Error> {
    match claims {
        [] => Ok(0),
        claims => Ok(give_back(&sql::LOCK_CLAIMS, &[arg(claims.to_vec())])? as i64),
    }
}

/// Gives back the claims that `lock` finds, under new tokens.
fn give_back(lock: &Statement, args: &[Arg]) -> Result<usize, Error> {
    let claims = lock.run(args, |rows| rows.each(|row| rows.get::<i64>(row, 0)))?;
    if claims.is_empty() {
        return Ok(0);
    }
    // All are of one service.
    if fence::holder(claims[0])?.is_some_and(|holder| holder.right == Right::Superuser) {
        for token in &claims {
            if let Some(holder) = fence::holder(*token)? {
                holder.record_release("abandon_cleanup")?;
            }
        }
    }
    let new = token::draw_for(&Tables::open()?, &claims)?;
    removal::remove(&sql::GIVE_BACK, &[arg(claims), arg(new)])
}

export! {
    volguard_claim_cleanup, pg_finfo_volguard_claim_cleanup => claim_cleanup_wrapper;
    volguard_finish_cleanup, pg_finfo_volguard_finish_cleanup => finish_cleanup_wrapper;
    volguard_abandon_cleanup, pg_finfo_volguard_abandon_cleanup => abandon_cleanup_wrapper;
}
