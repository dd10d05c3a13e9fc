//! Releases the locks that a service holds without knowing of them, as after a lost reply.

use crate::cleanup::claim;
use crate::input::argument;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::service::identity;
use crate::service::service_lock::ServiceLock;
use crate::store::removal::remove;
use crate::store::sql;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
fn reconcile(service_id: Option<i64>, tokens: Option<Vec<Option<i64>>>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let tokens = argument::list("tokens", tokens)?;
        identity::acting_for(service_id)?;
        ServiceLock::of(service_id).lock_shared()?;
        identity::require_unfenced(service_id)?;
        let claimed = claim::abandon_unknown(service_id, &tokens)?;
        let released = remove(&sql::RECONCILE, &[arg(service_id), arg(tokens)])?;
        Ok(Some((released + claimed) as i64))
    })
}

export! {
    volguard_reconcile, pg_finfo_volguard_reconcile => reconcile_wrapper;
}
