//! Gives back what requests have taken, as after a lost reply.
//!
//! The model is [`reconcile`], which needs the tokens that the caller knows. Here the caller names what it wants to be
//! rid of. The work of `start_work` needs a final state instead, but its rows look like those of `acquire`.

use super::reconcile;
use crate::input::argument;
use crate::pg::export::{export, verb};
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::lookup::ServiceRow;
use pgrx::datum::Uuid;
use pgrx::pg_extern;
use std::collections::HashSet;

#[pg_extern(sql = false)]
fn release_requests(service_id: Option<i64>, request_ids: Option<Vec<Option<Uuid>>>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let request_ids = argument::list_or_none("request_ids", request_ids)?;
        identity::acting_for(service_id)?;
        let guard = ServiceLock::of(service_id);
        guard.lock_shared()?;
        identity::require_unfenced(service_id)?;
        let wanted = HashSet::<Uuid>::from_iter(request_ids);
        let is_wanted = |row: &ServiceRow| row.request_id.is_some_and(|id| wanted.contains(&id));
        let given_back = reconcile::give_back(service_id, "release_requests", is_wanted)?;
        if given_back == 0 {
            guard.unlock_shared();
        }
        Ok(Some(given_back))
    })
}

export! {
    volguard_release_requests, pg_finfo_volguard_release_requests => release_requests_wrapper;
}
