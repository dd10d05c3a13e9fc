//! Fencing: what a dead service can't do any more, and how a check holds until the commit.
//!
//! Every service has a lock (`guard`). Whatever relies on a service being alive (an insert into `workers`, a check
//! of a token) takes it shared and keeps it until its transaction ends; whoever fences takes it exclusive. So a check and
//! the commit it guards are never parted by a fence, and when a fence is through, every acquire that slipped in
//! before it has committed and is seen by the cleanup.
//!
//! Order of locks, the same everywhere: line, gate, rows.

use super::guard::ServiceLock;
use super::identity;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::{Rows, arg};
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event};
use crate::store::lookup::Held;
use crate::store::sql;
use crate::store::tables::Tables;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use serde_json::json;

/// Whom a fence may hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Only a service whose lease is over.
    Dead,
    /// Alive or not: its next incarnation has come.
    Replaced,
    /// Alive or not: it ends itself.
    Stopping,
}

impl Who {
    fn fenced_by(self) -> &'static str {
        match self {
            Who::Dead => "cleanup",
            Who::Replaced => "register_service",
            Who::Stopping => "deregister_service",
        }
    }
}

/// Fences a service whose gate the transaction has closed. False if it was fenced before, or is alive and may not be hit.
pub fn fence(service_id: i64, who: Who) -> Result<bool, Error> {
    Ok(!fence_all(&[service_id], who)?.is_empty())
}

/// Fences services whose gates the transaction has closed. Returns those that it did fence.
pub fn fence_all(service_ids: &[i64], who: Who) -> Result<Vec<i64>, Error> {
    if sabotage::removed(Guard::Fence) {
        return Ok(service_ids.to_vec());
    }
    let parameters = [arg(service_ids.to_vec()), arg(who != Who::Dead)];
    let fenced = sql::FENCE.run(&parameters, |rows| {
        let fenced = |row| Fenced::read(rows, row);
        (0..rows.len()).filter_map(fenced).collect::<Vec<_>>()
    })?;
    for service in &fenced {
        service.record(who)?;
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

    fn record(&self, who: Who) -> Result<(), Error> {
        let Fenced {
            host, binary_name, ..
        } = self;
        events::record(&Event {
            cluster: Some(&self.cluster),
            service_id: Some(self.service_id),
            details: json!({
                "by": who.fenced_by(), "host": host, "binary_name": binary_name, "silent_seconds": self.silent_seconds,
            }),
            ..Event::of(events::Kind::Fenced)
        })
    }
}

/// The row of a token that the caller may use, without a lock on it; `None` if nothing has that token.
pub fn holder(tables: &Tables, token: i64) -> Result<Option<Held>, Error> {
    let Some(held) = tables.held(token)? else {
        return Ok(None);
    };
    match identity::acting_for(held.service_id) {
        Ok(_) => Ok(Some(held)),
        Err(Error::ServiceFenced(_)) => Ok(None),
        Err(Error::Denied { .. }) => Err(not_yours(token)),
        Err(other) => Err(other),
    }
}

/// The role whose service has the token; `None` if nothing has it.
pub fn registered_by(token: i64) -> Result<Option<Oid>, Error> {
    sql::TOKEN_ROLE.run(&[arg(token)], |rows| rows.get(0, 0))
}

/// The refusal of a token that belongs to another role's service.
pub fn not_yours(token: i64) -> Error {
    Error::Denied {
        what: format!("token {token} belongs to a service of another role"),
        hint: "Act as the role that registered the service, or as a member of it.",
    }
}

/// Checks that a token is held, and keeps it held until the transaction ends. False if it is not.
pub fn hold(token: i64) -> Result<bool, Error> {
    let Some(holder) = holder(&Tables::open()?, token)? else {
        return Ok(false);
    };
    let guard = ServiceLock::of(holder.service_id);
    guard.lock_shared()?;
    if sabotage::removed(Guard::Hold) {
        return Ok(true);
    }
    let held = sql::HOLD.count(&[arg(token)])? == 1;
    if !held {
        guard.unlock_shared();
    }
    Ok(held)
}

#[pg_extern(sql = false)]
fn assert_held(token: Option<i64>) {
    verb((), || {
        let token = argument::required("token", token)?;
        if hold(token)? {
            Ok(())
        } else {
            Err(Error::TokenNotHeld(token))
        }
    });
}

export! {
    volguard_assert_held, pg_finfo_volguard_assert_held => assert_held_wrapper;
}
