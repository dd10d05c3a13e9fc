//! The work of a cluster's crashed services, and claiming some of it.

use super::kind::{WorkItem, WorkKind};
use super::repair::{Found, Repair, WorkOutcome};
use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::{Arg, Rows, arg};
use crate::sabotage::{self, Guard};
use crate::service::fence::{self, FenceReason};
use crate::service::service_lock::ServiceLock;
use crate::store::events::{self, Event, EventKind};
use crate::store::tables::Tables;
use crate::store::{sql, token};
use pgrx::datum::{AnyElement, Uuid};
use pgrx::{FromDatum, pg_sys};
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A call ends after so many work items that were not to be handed out, however many more there are: it must be short.
const MOST_NOT_CLAIMED: usize = 1000;

/// Work that the claimer has now: token, resource_type, resource_id, lock_name, status, crashed_service_id, details.
pub type ClaimedRow = (i64, String, String, String, String, i64, Option<AnyElement>);

/// What one claimer takes from.
#[derive(Default)]
struct Pool<'a> {
    claimer: i64,
    cluster: &'a str,
    request_id: Arg,
    resource_type: Arg,
    max_rows: usize,
    repairs: BTreeMap<WorkKind, Repair>,
    claimed: Vec<ClaimedRow>,
    /// Repaired by their crash rules after all.
    cleaned: usize,
    /// Dropped, because the resource is gone or has another status.
    stale: usize,
}

/// A service that is fenced, or whose lease is over.
struct Crashed {
    service_id: i64,
    fenced: bool,
}

/// Takes as much as is wanted, and there.
pub fn claim(
    claimer: i64,
    cluster: &str,
    request_id: Option<Uuid>,
    resource_type: Option<&str>,
    max_rows: usize,
) -> Result<Vec<ClaimedRow>, Error> {
    let (request_id, resource_type) = (request_id.and_then(arg), resource_type.and_then(arg));
    let mut pool = Pool { claimer, cluster, request_id, resource_type, max_rows, ..Pool::default() };
    for service in pool.crashed_services()? {
        if pool.is_done() {
            break;
        }
        pool.claim_from(&service)?;
    }
    let (cleaned, stale) = (pool.cleaned, pool.stale);
    if cleaned + stale > 0 {
        pgrx::notice!(
            "volguard: not claimed, but cleaned by crash rules: {cleaned}; forgotten, because the resource is gone or has another status: {stale}"
        );
    }
    Ok(pool.claimed)
}

impl Pool<'_> {
    fn is_done(&self) -> bool {
        self.missing() == 0 || self.cleaned + self.stale >= MOST_NOT_CLAIMED
    }

    fn missing(&self) -> usize {
        self.max_rows.saturating_sub(self.claimed.len())
    }

    fn crashed_services(&self) -> Result<Vec<Crashed>, Error> {
        let of_all_roles = owner::caller_is(owner::role()?);
        let parameters = [arg(self.claimer), arg(owner::caller()), arg(of_all_roles), self.resource_type];
        sql::CRASHED_SERVICES.run(&parameters, |rows| {
            rows.each(|row| {
                let (service_id, fenced) = (rows.get(row, 0)?, rows.get(row, 1)?);
                Some(Crashed { service_id, fenced })
            })
        })
    }

    fn claim_from(&mut self, service: &Crashed) -> Result<(), Error> {
        let guard = ServiceLock::of(service.service_id);
        let entered = match service.fenced {
            // Shared with other claims; a cleanup takes it exclusively.
            true => guard.try_lock_shared()?,
            false => fence_late(&guard, service.service_id)?,
        };
        if entered && !self.take(service.service_id)? && service.fenced {
            guard.unlock_shared();
        }
        Ok(())
    }

    /// False if there was nothing to take, or to drop.
    fn take(&mut self, crashed: i64) -> Result<bool, Error> {
        let (cleaned, stale) = (self.cleaned, self.stale);
        let mut any = false;
        while !self.is_done() {
            let kinds = self.claimable(crashed)?;
            if kinds.is_empty() {
                break;
            }
            any = true;
            let awaiting = self.repair(kinds)?;
            if !awaiting.is_empty() {
                self.hand_out(awaiting)?;
            }
        }
        let (cleaned, stale) = (self.cleaned - cleaned, self.stale - stale);
        if cleaned + stale > 0 {
            events::record(&Event {
                cluster: Some(self.cluster),
                service_id: Some(crashed),
                details: json!({
                    "claimer": self.claimer,
                    "resources_cleaned": cleaned,
                    "resources_stale": stale,
                }),
                ..Event::of(EventKind::Cleaned)
            })?;
        }
        Ok(any)
    }

    /// The next work of a crashed service, whose rows are locked from now on. In the order of a cleanup, so that the
    /// two change rows of one table in the same order.
    fn claimable(&self, crashed: i64) -> Result<BTreeMap<WorkKind, Vec<WorkItem>>, Error> {
        let statement = match sabotage::removed(Guard::ClaimLock) {
            false => &sql::CLAIMABLE,
            true => &sql::CLAIMABLE_UNLOCKED,
        };
        let most = self.missing().min(MOST_NOT_CLAIMED) as i64;
        statement.run(&[arg(crashed), self.resource_type, arg(most)], |rows| {
            let mut kinds = BTreeMap::<_, Vec<_>>::new();
            for row in 0..rows.len() {
                let name = |column| rows.get::<String>(row, column).unwrap_or_default();
                let kind = WorkKind { resource_type: name(1), status: name(3) };
                kinds.entry(kind).or_default().push(WorkItem {
                    token: rows.get(row, 0).unwrap_or_default(),
                    service_id: crashed,
                    resource_id: name(2),
                });
            }
            kinds
        })
    }

    /// Crash rules have precedence, and stale work is dropped. Returns the tokens of what is to be handed out.
    fn repair(&mut self, kinds: BTreeMap<WorkKind, Vec<WorkItem>>) -> Result<Vec<i64>, Error> {
        let mut awaiting = Vec::new();
        for (kind, items) in kinds {
            let repair = match self.repairs.entry(kind) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let repair = Repair::of(new.key().clone())?;
                    new.insert(repair)
                }
            };
            for (item, outcome) in repair.run(Found::Locked(items))? {
                match outcome {
                    WorkOutcome::Cleaned => self.cleaned += 1,
                    WorkOutcome::Stale => self.stale += 1,
                    WorkOutcome::Awaiting => awaiting.push(item.token),
                }
            }
        }
        Ok(awaiting)
    }

    fn hand_out(&mut self, tokens: Vec<i64>) -> Result<(), Error> {
        let new = match sabotage::removed(Guard::ClaimToken) {
            false => token::draw_for(&Tables::open()?, &tokens)?,
            true => tokens.clone(),
        };
        let parameters = [arg(self.claimer), arg(tokens), arg(new), self.request_id];
        let claimed = sql::CLAIM.run(&parameters, |rows| rows.each(|row| claimed_row(rows, row)))?;
        self.claimed.extend(claimed);
        Ok(())
    }
}

/// Fences a service whose lease is over. False, and nothing done, if its lock is taken, or a heartbeat has come.
fn fence_late(guard: &ServiceLock, service_id: i64) -> Result<bool, Error> {
    if !guard.try_lock_exclusive()? {
        return Ok(false);
    }
    let late = sql::LOCK_LATE_SERVICE.count(&[arg(service_id)])? == 1;
    if late && fence::fence(service_id, FenceReason::Dead)? {
        return Ok(true);
    }
    guard.unlock_exclusive();
    Ok(false)
}

/// A row of the statements that read claims.
pub fn claimed_row(rows: &Rows, row: usize) -> Option<ClaimedRow> {
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
