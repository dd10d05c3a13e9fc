//! Gives back what requests have taken, as after a lost reply.
//!
//! The model is [`reconcile`](super::reconcile), which needs the tokens that the caller knows. Here the caller names
//! what it wants to be rid of. The work of `start_work` needs a final state instead, but its rows look like those of
//! `acquire`.

use crate::cleanup::claim;
use crate::input::argument;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::removal::remove;
use crate::store::sql;
use pgrx::datum::Uuid;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
fn release_requests(service_id: Option<i64>, request_ids: Option<Vec<Option<Uuid>>>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let request_ids = argument::list_or_none("request_ids", request_ids)?;
        identity::acting_for(service_id)?;
        ServiceLock::of(service_id).lock_shared()?;
        identity::require_unfenced(service_id)?;
        let claimed = claim::abandon_requests(service_id, &request_ids)?;
        let released = remove(&sql::RELEASE_REQUESTS, &[arg(service_id), arg(request_ids)])?;
        Ok(Some((released + claimed) as i64))
    })
}

export! {
    volguard_release_requests, pg_finfo_volguard_release_requests => release_requests_wrapper;
}
