//! The orderly stop of a service.

use super::fence;
use super::guard::ServiceLock;
use super::identity::acting_for;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::store::{removal, sql};
use pgrx::pg_extern;

#[pg_extern(sql = false)]
fn deregister_service(service_id: Option<i64>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        acting_for(service_id)?;
        ServiceLock::of(service_id).lock_exclusive()?;
        if !fence::fence(service_id, fence::Who::Stopping)? {
            return Err(Error::ServiceFenced(service_id));
        }
        removal::remove(
            &sql::DROP_PLAIN_LOCKS,
            &[arg(vec![service_id]), None, None, None],
        )?;
        let left = sql::SERVICE_ROWS.count(&[arg(service_id)])?;
        if left == 0 {
            sql::REMOVE_SERVICE.count(&[arg(service_id)])?;
        }
        Ok(Some(left as i64))
    })
}

export! {
    volguard_deregister_service, pg_finfo_volguard_deregister_service => deregister_service_wrapper;
}
