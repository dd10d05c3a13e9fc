//! Fencing a service, and checking a token so that the check holds until the commit.
//!
//! A fence takes the service lock exclusive, a check takes it shared: see [`super::service_lock`].

use super::identity::{self, Acting};
use super::in_time;
use super::service_lock::ServiceLock;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner::Right;
use crate::pg::spi::{Rows, arg};
use crate::pg::{log, lookup_locks};
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event, EventKind};
use crate::store::liveness::Liveness;
use crate::store::lookup::Held;
use crate::store::sql;
use crate::store::tables::Tables;
use crate::store::taken::Taken;
use crate::store::write;
use crate::wait::Deadline;
use pgrx::pg_extern;
use serde_json::json;
use std::rc::Rc;

/// Why a service is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceReason<'a> {
    /// Its lease is over. A service that is alive is not fenced.
    Dead,
    /// Its next incarnation registers. Fenced alive or not.
    Replaced,
    /// It deregisters. Fenced alive or not.
    Stopping,
    /// Its cluster was given to another role. Fenced alive or not.
    OwnerChanged,
    /// An operator says why. Fenced alive or not.
    Operator(&'a str),
}

impl FenceReason<'_> {
    /// The verb, as the event names it.
    fn fenced_by(self) -> &'static str {
        match self {
            FenceReason::Dead => "cleanup",
            FenceReason::Replaced => "register_service",
            FenceReason::Stopping => "deregister_service",
            FenceReason::OwnerChanged => "set_cluster_owner",
            FenceReason::Operator(_) => "fence_service",
        }
    }

    fn kind(self) -> EventKind {
        match self {
            FenceReason::OwnerChanged | FenceReason::Operator(_) => EventKind::FencedByOperator,
            _ => EventKind::Fenced,
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
    Ok(Fenced::all(service_ids, reason)?.iter().map(|service| service.service_id).collect())
}

/// Fences the earlier incarnation of a service whose next one registers. It is likely that of a process that crashed.
/// If it is alive, two processes may have one name.
pub fn replace(service_id: i64) -> Result<(), Error> {
    if sabotage::removed(Guard::Fence) {
        return Ok(());
    }
    for service in Fenced::all(&[service_id], FenceReason::Replaced)?.iter().filter(|service| service.alive) {
        let Fenced { host, binary_name, cluster, .. } = service;
        log::warning(
            &format!(
                "the earlier incarnation of {binary_name} on {host}, in cluster {cluster}, was alive and is fenced now"
            ),
            Some("If these are two processes, give them two names, such as program@backend."),
        );
    }
    Ok(())
}

/// Fences services whose locks the transaction has: their rows may be those of transactions that have not ended, as of
/// heartbeats.
pub fn in_time<T>(deadline: &Deadline, services: &[i64], fence: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    if let Some(fenced) = deadline.bound(fence)? {
        return Ok(fenced);
    }
    let holders = sql::ROW_HOLDERS.run(&[arg(services.to_vec())], |rows| rows.each(|row| rows.get(row, 0)))?;
    let what = "the row of a service is in use: a transaction that has not ended has sent its heartbeat".to_owned();
    Err(Error::Waited { what, holders, hint: in_time::HINT })
}

/// A service that has just been fenced.
struct Fenced {
    service_id: i64,
    cluster: String,
    host: String,
    binary_name: String,
    silent_seconds: Option<f64>,
    /// It had been alive until then.
    alive: bool,
}

impl Fenced {
    fn all(service_ids: &[i64], reason: FenceReason) -> Result<Vec<Self>, Error> {
        let parameters = [arg(service_ids.to_vec()), arg(reason != FenceReason::Dead)];
        let fenced = sql::FENCE.run(&parameters, |rows| rows.each(|row| Fenced::read(rows, row)))?;
        for service in &fenced {
            service.record(reason)?;
        }
        Ok(fenced)
    }

    fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(Fenced {
            service_id: rows.get(row, 0)?,
            cluster: rows.get(row, 1)?,
            host: rows.get(row, 2)?,
            binary_name: rows.get(row, 3)?,
            silent_seconds: rows.get(row, 4),
            alive: rows.get(row, 5)?,
        })
    }

    fn record(&self, reason: FenceReason) -> Result<(), Error> {
        let Fenced { host, binary_name, .. } = self;
        let mut details = json!({
            "by": reason.fenced_by(), "host": host, "binary_name": binary_name, "silent_seconds": self.silent_seconds,
        });
        match reason {
            FenceReason::Replaced if self.alive => details["alive"] = true.into(),
            FenceReason::Operator(reason) => details["reason"] = reason.into(),
            _ => {}
        }
        events::record(&Event {
            cluster: Some(&self.cluster),
            service_id: Some(self.service_id),
            details,
            ..Event::of(reason.kind())
        })
    }
}

/// The row of a token that the caller may use.
pub struct Holder {
    pub held: Held,
    pub cluster: Rc<str>,
    pub right: Right,
}

impl Holder {
    /// Records, of a lock that was released, that a superuser did it who has no other right to it.
    pub fn record_release(&self, verb: &str) -> Result<(), Error> {
        match self.right {
            Right::Member => Ok(()),
            Right::Superuser => Taken::of(&self.held, &self.cluster).record_release(verb),
        }
    }
}

/// The row of a token that the caller may use, without a lock on the row; `None` if no row has the token. No lock on a
/// table is left, since the call may wait for the service lock next.
pub fn holder(token: i64) -> Result<Option<Holder>, Error> {
    let Some(held) = lookup_locks::given_back(|| Tables::open()?.held(token))? else {
        return Ok(None);
    };
    match identity::acting_for(held.service_id) {
        Ok(Acting { cluster, right, .. }) => Ok(Some(Holder { held, cluster, right })),
        Err(Error::ServiceFenced(_)) => Ok(None),
        Err(Error::Denied { .. }) => Err(not_yours(token)),
        Err(other) => Err(other),
    }
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
    let Some(Holder { held: holder, .. }) = holder(token)? else {
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

#[pg_extern(sql = false)]
fn fence_service(service_id: Option<i64>, reason: Option<&str>) -> Option<bool> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let reason = argument::name("reason", reason)?;
        let liveness = lookup_locks::given_back(|| Tables::open()?.liveness(service_id))?;
        if liveness == Liveness::Fenced {
            return Ok(Some(false));
        }
        let deadline = in_time::deadline();
        ServiceLock::of(service_id).lock_exclusive_in_time(&deadline)?;
        let fence = || fence(service_id, FenceReason::Operator(reason));
        in_time(&deadline, &[service_id], fence).map(Some)
    })
}

export! {
    volguard_fence_service, pg_finfo_volguard_fence_service => fence_service_wrapper;
    volguard_assert_held, pg_finfo_volguard_assert_held => assert_held_wrapper;
}
