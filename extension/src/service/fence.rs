//! Fencing a service, and checking a token so that the check holds until the commit.
//!
//! A fence takes the service lock exclusive, a check takes it shared: see [`super::service_lock`].

use super::identity;
use super::service_lock::ServiceLock;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::lookup_locks;
use crate::pg::spi::{Rows, arg};
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event, EventKind};
use crate::store::liveness::Liveness;
use crate::store::lookup::Held;
use crate::store::sql;
use crate::store::tables::Tables;
use crate::store::write;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use serde_json::json;

/// Why a service is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason {
    /// Its lease is over. A service that is alive is not fenced.
    Dead,
    /// Its next incarnation registers. Fenced alive or not.
    Replaced,
    /// It deregisters. Fenced alive or not.
    Stopping,
}

impl FenceReason {
    /// The verb, as the event names it.
    fn fenced_by(self) -> &'static str {
        match self {
            FenceReason::Dead => "cleanup",
            FenceReason::Replaced => "register_service",
            FenceReason::Stopping => "deregister_service",
        }
    }
}

/// Fences a service whose lock the transaction holds exclusively. False if it was fenced before, or if the reason
/// doesn't apply because it is alive.
pub fn fence(service_id: i64, reason: FenceReason) -> Result<bool, Error> {
    Ok(!fence_all(&[service_id], reason)?.is_empty())
}

/// As [`fence`], for several services. Returns those that it has fenced.
pub fn fence_all(service_ids: &[i64], reason: FenceReason) -> Result<Vec<i64>, Error> {
    if sabotage::removed(Guard::Fence) {
        return Ok(service_ids.to_vec());
    }
    let parameters = [arg(service_ids.to_vec()), arg(reason != FenceReason::Dead)];
    let fenced = sql::FENCE.run(&parameters, |rows| rows.each(|row| Fenced::read(rows, row)))?;
    for service in &fenced {
        service.record(reason)?;
    }
    Ok(fenced.iter().map(|service| service.service_id).collect())
}

/// A service that has just been fenced.
struct Fenced {
    service_id: i64,
    cluster: String,
    host: String,
    binary_name: String,
    silent_seconds: Option<f64>,
}

impl Fenced {
    fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(Fenced {
            service_id: rows.get(row, 0)?,
            cluster: rows.get(row, 1)?,
            host: rows.get(row, 2)?,
            binary_name: rows.get(row, 3)?,
            silent_seconds: rows.get(row, 4),
        })
    }

    fn record(&self, reason: FenceReason) -> Result<(), Error> {
        let Fenced { host, binary_name, .. } = self;
        events::record(&Event {
            cluster: Some(&self.cluster),
            service_id: Some(self.service_id),
            details: json!({
                "by": reason.fenced_by(), "host": host, "binary_name": binary_name, "silent_seconds": self.silent_seconds,
            }),
            ..Event::of(EventKind::Fenced)
        })
    }
}

/// The row of a token that the caller may use, without a lock on the row; `None` if no row has the token. No lock on a
/// table is left, since the call may wait for the service lock next.
pub fn holder(token: i64) -> Result<Option<Held>, Error> {
    let Some(held) = lookup_locks::given_back(|| Tables::open()?.held(token))? else {
        return Ok(None);
    };
    match identity::acting_for(held.service_id) {
        Ok(_) => Ok(Some(held)),
        Err(Error::ServiceFenced(_)) => Ok(None),
        Err(Error::Denied { .. }) => Err(not_yours(token)),
        Err(other) => Err(other),
    }
}

/// The role whose service has the token; `None` if no row has it.
pub fn registered_by(token: i64) -> Result<Option<Oid>, Error> {
    sql::TOKEN_ROLE.run(&[arg(token)], |rows| rows.get(0, 0))
}

/// The error for a token that belongs to another role's service.
pub fn not_yours(token: i64) -> Error {
    Error::Denied {
        what: format!("token {token} belongs to a service of another role"),
        hint: "Act as the role that registered the service, or as a member of it.",
    }
}

/// Checks that a token is held, and keeps it held until the transaction ends. False if it isn't held.
pub fn hold(token: i64) -> Result<bool, Error> {
    let Some(holder) = holder(token)? else {
        return Ok(false);
    };
    let lock = ServiceLock::of(holder.service_id);
    lock.lock_shared()?;
    if sabotage::removed(Guard::Hold) {
        return Ok(true);
    }
    let tables = Tables::open()?;
    let held = tables.liveness(holder.service_id)? != Liveness::Fenced && write::hold(&tables, &holder)?;
    if !held {
        lock.unlock_shared();
    }
    Ok(held)
}

#[pg_extern(sql = false)]
fn assert_held(token: Option<i64>) {
    verb((), || {
        let token = argument::required("token", token)?;
        match hold(token)? {
            true => Ok(()),
            false => Err(Error::TokenNotHeld(token)),
        }
    });
}

export! {
    volguard_assert_held, pg_finfo_volguard_assert_held => assert_held_wrapper;
}
