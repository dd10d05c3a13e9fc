//! Releases locks.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::service::fence;
use crate::service::service_lock::ServiceLock;
use crate::store::ended::{self, Ending};
use crate::store::liveness::Liveness;
use crate::store::lookup::Held;
use crate::store::removal::{self, wake};

use crate::store::tables::Tables;
use crate::store::write;
use pgrx::pg_extern;
use std::collections::BTreeSet;

#[pg_extern(sql = false)]
fn release(token: Option<i64>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        let Some(holder) = fence::holder(token)? else {
            return Ok(Some(false));
        };
        let held = &holder.held;
        // So that no fence comes before the commit: the work would be left to a cleanup, and a cleanup that deletes the
        // rows of several releases in another order could deadlock with them.
        let service_lock = ServiceLock::of(held.service_id);
        service_lock.lock_shared()?;
        let released = give_back(&Tables::open()?, held)?;
        match released {
            true => holder.record_release("release")?,
            false => service_lock.unlock_shared(),
        }
        Ok(Some(released))
    })
}

/// Deletes the row of a token, unless its service is fenced; submitted work goes back into its queue. Only under the
/// service lock. False if the token is not held.
fn give_back(tables: &Tables, held: &Held) -> Result<bool, Error> {
    match held.work_id {
        None => end(tables, held),
        Some(_) if tables.liveness(held.service_id)? == Liveness::Fenced => Ok(false),
        Some(_) => Ok(removal::put_back(&[held.token])? == 1),
    }
}

/// Deletes the row of a token, unless its service is fenced; submitted work has ended with that. Only under the service
/// lock. False if the token is not held.
pub fn end(tables: &Tables, held: &Held) -> Result<bool, Error> {
    if tables.liveness(held.service_id)? == Liveness::Fenced {
        return Ok(false);
    }
    if held.has_request {
        ended::note(&[held.token], Ending::Finished)?;
    }
    let Some(working) = write::delete(tables, held)? else {
        return Ok(false);
    };
    wake(&held.resource_type, &held.resource_id, &held.lock_name, working);
    Ok(true)
}

#[pg_extern(sql = false)]
fn release_all(tokens: Option<Vec<Option<i64>>>) -> Option<i64> {
    verb(None, || {
        // In the order in which the locks of services and rows are taken.
        let tokens = BTreeSet::from_iter(argument::list_or_none("tokens", tokens)?);
        let mut services = BTreeSet::new();
        for token in &tokens {
            services.extend(fence::holder(*token)?.map(|holder| holder.held.service_id));
        }
        for service_id in &services {
            ServiceLock::of(*service_id).lock_shared()?;
        }
        Ok(Some(give_back_all(tokens, "release_all")?))
    })
}

/// As [`give_back`], for tokens of services whose locks are held, by a verb. Returns how many of them were held.
pub fn give_back_all(tokens: impl IntoIterator<Item = i64>, verb: &str) -> Result<i64, Error> {
    let mut released = 0;
    for token in tokens {
        if let Some(holder) = fence::holder(token)?
            && give_back(&Tables::open()?, &holder.held)?
        {
            holder.record_release(verb)?;
            released += 1;
        }
    }
    Ok(released)
}

export! {
    volguard_release, pg_finfo_volguard_release => release_wrapper;
    volguard_release_all, pg_finfo_volguard_release_all => release_all_wrapper;
}
