//! Releases locks.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::service::fence;
use crate::service::service_lock::ServiceLock;
use crate::store::liveness::Liveness;
use crate::store::lookup::Held;
use crate::store::removal::{remove, wake};
use crate::store::sql;
use crate::store::tables::Tables;
use crate::store::write;
use pgrx::pg_extern;
use std::collections::BTreeSet;

#[pg_extern(sql = false)]
fn release(token: Option<i64>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        let Some(held) = fence::holder(token)? else {
            return Ok(Some(false));
        };
        // So that no fence comes before the commit: the work would be left to a cleanup, and a cleanup that deletes the
        // rows of several releases in another order could deadlock with them.
        let service_lock = ServiceLock::of(held.service_id);
        service_lock.lock_shared()?;
        let released = give_back(&Tables::open()?, &held)?;
        if !released {
            service_lock.unlock_shared();
        }
        Ok(Some(released))
    })
}

/// Deletes the row of a token, unless its service is fenced. Only under the service lock. False if the token is not
/// held.
pub fn give_back(tables: &Tables, held: &Held) -> Result<bool, Error> {
    if tables.liveness(held.service_id)? == Liveness::Fenced {
        return Ok(false);
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
        let tokens = argument::list_or_none("tokens", tokens)?;
        // A cleanup deletes the same rows in another order. Without the service locks the two could deadlock.
        let services = holders(&tokens)?;
        for service_id in &services {
            ServiceLock::of(*service_id).lock_shared()?;
        }
        if services.is_empty() {
            return Ok(Some(0));
        }
        let released = remove(&sql::RELEASE_ALL, &[arg(tokens), arg(owner::caller())])?;
        Ok(Some(released as i64))
    })
}

/// The services that hold the tokens, in the order in which their locks are taken. An error if one of them is another
/// role's.
fn holders(tokens: &[i64]) -> Result<BTreeSet<i64>, Error> {
    let mut services = BTreeSet::new();
    for token in tokens {
        services.extend(fence::holder(*token)?.map(|held| held.service_id));
    }
    Ok(services)
}

export! {
    volguard_release, pg_finfo_volguard_release => release_wrapper;
    volguard_release_all, pg_finfo_volguard_release_all => release_all_wrapper;
}
