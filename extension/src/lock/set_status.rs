//! Sets the status of the work under a lock.

use crate::cleanup::permission;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::service::fence;
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::key::Key;
use crate::store::liveness::Liveness;
use crate::store::spelling::{self, Inserted};
use crate::store::status::{self, Set};
use crate::store::tables::Tables;
use crate::store::tracked::Resource;
use crate::wait::WaitQueue;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
fn set_status(token: Option<i64>, status: Option<&str>, expected: Option<&str>) {
    verb((), || {
        let token = argument::required("token", token)?;
        let status = argument::status(status)?;
        let expected = expected.map(|expected| argument::name("expected", Some(expected))).transpose()?;
        let holder = fence::holder(token)?.ok_or(Error::TokenNotHeld(token))?.held;
        if status.is_none() && holder.work_id.is_some() {
            let hint = "End submitted work with volguard.finish_work, or give it back with volguard.release.";
            return Err(Error::invalid("status", "must not be null for submitted work", hint));
        }
        let tracked_in = match status {
            None => None,
            Some(_) => {
                let tracked = Resource::look_up(&holder.resource_type)?;
                let role = identity::acting_for(holder.service_id)?.role();
                permission::by_id(tracked.as_ref(), &holder.resource_type, role)?;
                Some(tracked.map(|tracked| tracked.target))
            }
        };
        let slot = WaitQueue::of_work(&holder.resource_type, &holder.resource_id);
        let busy = || Error::Busy {
            what: format!("{} {} has another operation in progress", holder.resource_type, holder.resource_id),
            hint: "A resource has one operation at a time. Wait for its end, or acquire with the status and a wait.",
        };
        if status.is_some() && !holder.working && !slot.try_head()? {
            return Err(busy());
        }
        ServiceLock::of(holder.service_id).lock_shared()?;
        let tables = Tables::open()?;
        if tables.liveness(holder.service_id)? == Liveness::Fenced {
            return Err(Error::TokenNotHeld(token));
        }
        // As head of the slot's queue no other call can begin work; what has begun is committed.
        let key = Key::new(&holder.resource_type, &holder.resource_id, &holder.lock_name);
        if status.is_some() && tables.work_on(&key)?.is_some_and(|other| other != token) {
            return Err(busy());
        }
        // First without a lock on the row: a refusal writes nothing.
        if let Some(expected) = expected
            && status_of(&tables, &key, token)?.as_deref() != Some(expected)
        {
            return Err(unexpected(&tables, &key, token, expected)?);
        }
        match status::set_status(&tables, &holder, status.and_then(arg), expected)? {
            Set::Done => {}
            Set::NotHeld => return Err(Error::TokenNotHeld(token)),
            Set::Unexpected => return Err(unexpected(&tables, &key, token, expected.unwrap_or_default())?),
        }
        if tracked_in.is_none() {
            slot.wake_after_commit();
            return Ok(());
        }
        spelling::check_inserted(std::iter::once(Inserted { key: &key, work_on: tracked_in }))
    });
}

/// The status of the work under a token, as it is committed by now; `None` for a plain lock, or if it is not held.
fn status_of(tables: &Tables, key: &Key, token: i64) -> Result<Option<String>, Error> {
    let occupant = tables.occupant(key, false)?;
    Ok(occupant.filter(|occupant| occupant.token == token).and_then(|occupant| occupant.status))
}

fn unexpected(tables: &Tables, key: &Key, token: i64, expected: &str) -> Result<Error, Error> {
    let what = match status_of(tables, key, token)? {
        Some(status) => format!("the status of the work under token {token} is {status}, not {expected}"),
        None => format!("token {token} has no work in the status {expected}"),
    };
    let hint = "Nothing was changed. Another call has set the status since it was read; volguard.lock_status shows it.";
    Ok(Error::State { what, hint })
}

export! {
    volguard_set_status, pg_finfo_volguard_set_status => set_status_wrapper;
}
