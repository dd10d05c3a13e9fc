//! Releases the locks that a service holds without knowing of them, as after a lost reply.

use super::release;
use crate::cleanup::claim;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::lookup::ServiceRow;
use crate::store::tables::Tables;
use pgrx::pg_extern;
use std::collections::HashSet;

#[pg_extern(sql = false)]
fn reconcile(service_id: Option<i64>, tokens: Option<Vec<Option<i64>>>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let tokens = argument::list("tokens", tokens)?;
        identity::acting_for(service_id)?;
        let guard = ServiceLock::of(service_id);
        guard.lock_shared()?;
        identity::require_unfenced(service_id)?;
        let known = HashSet::<i64>::from_iter(tokens);
        let given_back = give_back(service_id, "reconcile", |row| !known.contains(&row.token))?;
        if given_back == 0 {
            guard.unlock_shared();
        }
        Ok(Some(given_back))
    })
}

/// Gives back the rows of a service that `unwanted` picks: locks are released, claims can be claimed again. Under the
/// service's lock; it isn't fenced. `verb` is the one that does so.
pub fn give_back(service_id: i64, verb: &str, unwanted: impl Fn(&ServiceRow) -> bool) -> Result<i64, Error> {
    let mut rows = Tables::open()?.rows_of(service_id)?;
    rows.retain(unwanted);
    rows.sort_unstable_by_key(|row| row.token);
    let (claims, locks): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.claimed);
    let tokens = |rows: Vec<ServiceRow>| rows.into_iter().map(|row| row.token).collect::<Vec<_>>();
    let abandoned = claim::abandon(&tokens(claims))?;
    Ok(release::give_back_all(tokens(locks), verb)? + abandoned)
}

export! {
    volguard_reconcile, pg_finfo_volguard_reconcile => reconcile_wrapper;
}
