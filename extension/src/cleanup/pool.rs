//! The work of a cluster's crashed services, and claiming some of it.

use super::ask::{self, Asked};
use super::claim_filter::ClaimFilter;
use super::fences::fence_late;
use super::kind::{self, Work, WorkItem};
use super::order::State;
use crate::pg::error::Error;
use crate::pg::spi::{Arg, Rows, arg};
use crate::pg::{lookup_locks, owner};
use crate::sabotage::{self, Guard};
use crate::service::service_lock::ServiceLock;
use crate::store::liveness::Liveness;
use crate::store::tables::Tables;
use crate::store::{sql, token};
use pgrx::datum::{AnyElement, Uuid};
use pgrx::{FromDatum, pg_sys};
use std::time::{Duration, Instant};

/// A call ends after so many work items that were not to be handed out, however many more there are: it must be short.
const MOST_NOT_CLAIMED: usize = 1000;

/// How long a call has work repaired.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Work that the claimer has now: token, resource_type, resource_id, lock_name, status, crashed_service_id, details.
pub type ClaimedRow = (i64, String, String, String, String, i64, Option<AnyElement>);

/// What one claimer takes from.
struct Pool {
    claimer: i64,
    request_id: Arg,
    filter: ClaimFilter,
    max_rows: usize,
    until: Instant,
    claimed: Vec<ClaimedRow>,
    /// The tokens of work that a rule will probably repair later.
    left: Vec<i64>,
    /// Repaired by their crash rules after all.
    cleaned: usize,
    /// Dropped, because the resource is gone or has another status.
    stale: usize,
}

/// Takes as much as is wanted, and there.
pub fn claim(
    claimer: i64,
    request_id: Option<Uuid>,
    filter: ClaimFilter,
    max_rows: usize,
) -> Result<Vec<ClaimedRow>, Error> {
    let mut pool = Pool {
        claimer,
        request_id: request_id.and_then(arg),
        filter,
        max_rows,
        until: Instant::now() + MOST_TIME,
        claimed: Vec::new(),
        left: Vec::new(),
        cleaned: 0,
        stale: 0,
    };
    for service in pool.crashed_services()? {
        if pool.is_done() {
            break;
        }
        pool.take(service)?;
    }
    let (cleaned, stale) = (pool.cleaned, pool.stale);
    if cleaned + stale > 0 {
        pgrx::notice!(
            "volguard: not claimed, but cleaned by crash rules: {cleaned}; forgotten, because the resource is gone or has another status: {stale}"
        );
    }
    Ok(pool.claimed)
}

impl Pool {
    fn is_done(&self) -> bool {
        self.missing() == 0
            || self.cleaned + self.stale + self.left.len() >= MOST_NOT_CLAIMED
            || Instant::now() >= self.until
    }

    fn missing(&self) -> usize {
        self.max_rows.saturating_sub(self.claimed.len())
    }

    fn crashed_services(&self) -> Result<Vec<i64>, Error> {
        let of_all_roles = owner::caller_is(owner::role()?);
        let [of_type, until, host, binary_name, services] = self.filter.of_services()?;
        let (claimer, caller, of_all_roles) = (arg(self.claimer), arg(owner::caller()), arg(of_all_roles));
        let parameters = [claimer, caller, of_all_roles, of_type, until, host, binary_name, services];
        lookup_locks::given_back(|| sql::CRASHED_SERVICES.run(&parameters, Rows::numbers))
    }

    /// Crash rules have precedence, and stale work is dropped: both by processes. What they leave for good is handed
    /// out, and what has been left so by an earlier one.
    fn take(&mut self, crashed: i64) -> Result<(), Error> {
        // What was not handed out was repaired: then there may be much of that.
        let mut most = self.missing();
        while !self.is_done() {
            let work = self.claimable(crashed, most)?;
            if work.is_empty() {
                break;
            }
            let mut for_claimer = Vec::new();
            let mut undecided = Work::new();
            for (kind, items) in work {
                let (waiting, others) = items.into_iter().partition(|item| item.failed_before && !item.due);
                let waiting: Vec<WorkItem> = waiting;
                for_claimer.extend(waiting.into_iter().map(|item| item.token));
                undecided.push((kind, others));
            }
            let answer = ask::repair(&Asked::all(&undecided), self.until)?;
            for item in undecided.into_iter().flat_map(|(_, items)| items) {
                match answer.state(item.token) {
                    State::Cleaned | State::Retried => self.cleaned += 1,
                    State::Stale => self.stale += 1,
                    State::AwaitingSoon | State::Untried => self.left.push(item.token),
                    State::AwaitingLater | State::Failed | State::Trying => for_claimer.push(item.token),
                }
            }
            for_claimer.sort_unstable();
            for_claimer.truncate(self.missing());
            self.hand_out(crashed, for_claimer)?;
            most *= 2;
        }
        Ok(())
    }

    /// The next work of a crashed service.
    fn claimable(&self, crashed: i64, most: usize) -> Result<Work, Error> {
        let most = most.min(MOST_NOT_CLAIMED) as i64;
        let ClaimFilter { resource_type, resource_id, until, .. } = self.filter;
        let parameters = [arg(crashed), resource_type, arg(most), arg(self.left.clone()), until, resource_id];
        lookup_locks::given_back(|| match resource_id {
            None => sql::CLAIMABLE.run(&parameters[..5], kind::read),
            Some(_) => sql::CLAIMABLE_ON.run(&parameters, kind::read),
        })
    }

    /// Work that another call has taken meanwhile is left to it. The lock of the service is needed for a fence alone:
    /// nothing is added to what a fenced service has, and the rows of a claim are locked.
    fn hand_out(&mut self, crashed: i64, tokens: Vec<i64>) -> Result<(), Error> {
        if tokens.is_empty() {
            return Ok(());
        }
        let liveness = lookup_locks::given_back(|| Tables::open()?.liveness(crashed))?;
        if liveness == Liveness::Expired && ServiceLock::of(crashed).try_lock_exclusive()? {
            fence_late(&[crashed])?;
        }
        let locked = sql::LOCK_WORK_TOKENS.run(&[arg(tokens.clone()), arg(false)], Rows::numbers)?;
        self.left.extend(tokens.into_iter().filter(|token| !locked.contains(token)));
        let new = match sabotage::removed(Guard::ClaimToken) {
            false => token::draw_for(&Tables::open()?, &locked)?,
            true => locked.clone(),
        };
        let parameters = [arg(self.claimer), arg(locked), arg(new), self.request_id];
        let claimed = sql::CLAIM.run(&parameters, |rows| rows.each(|row| claimed_row(rows, row)))?;
        self.claimed.extend(claimed);
        Ok(())
    }
}

/// A row of the statements that read claims.
/// What the service has claimed under a request id and still holds. Only under the service lock.
pub fn held_by_request(service_id: i64, id: Uuid) -> Result<Vec<ClaimedRow>, Error> {
    if sabotage::removed(Guard::RequestId) {
        return Ok(Vec::new());
    }
    sql::CLAIMED_BY_REQUEST.run(&[arg(service_id), arg(id)], |rows| rows.each(|row| claimed_row(rows, row)))
}

fn claimed_row(rows: &Rows, row: usize) -> Option<ClaimedRow> {
    let (token, crashed_service_id) = (rows.get(row, 0)?, rows.get(row, 5)?);
    let [of_type, id, name, status] = [1, 2, 3, 4].map(|column| rows.get(row, column));
    let details = rows.get(row, 6).and_then(copied);
    Some((token, of_type?, id?, name?, status?, crashed_service_id, details))
}

/// A copy of a jsonb of the statement that has just run, in the memory of SPI's caller. It is passed on as it is,
/// however deep it nests.
fn copied(value: AnyElement) -> Option<AnyElement> {
    // SAFETY: SPI is connected, and the value a varlena like every jsonb; the copy has the same type.
    unsafe {
        let copy = pg_sys::SPI_datumTransfer(value.datum(), false, -1);
        AnyElement::from_polymorphic_datum(copy, false, value.oid())
    }
}
