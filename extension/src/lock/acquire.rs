//! Acquires one lock.

use super::attempts;
use super::request::{Request, Wanted, deadline};
use crate::cleanup::permission;
use crate::input::argument;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::service::identity;
use crate::store::key::Key;
use crate::store::spelling;
use crate::store::tracked::Resource;
use pgrx::datum::{AnyElement, Interval, Uuid};
use pgrx::pg_extern;

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the SQL interface")]
fn acquire(
    service_id: Option<i64>,
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    lock_name: Option<&str>,
    status: Option<&str>,
    wait: Option<Interval>,
    request_id: Option<Uuid>,
    // Stored without being read, so that its depth doesn't matter.
    details: Option<AnyElement>,
) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let lock_name = argument::lock_name(lock_name)?;
        let status = argument::status(status)?;
        let deadline = deadline("acquire", wait)?;
        let tracked = Resource::look_up(resource_type)?;
        let resource_id = spelling::spelled(tracked.as_ref(), resource_id, "resource_id")?;
        let identity = identity::acting_for(service_id)?;
        if status.is_some() {
            permission::by_id(tracked.as_ref(), resource_type, identity.role())?;
        }
        let lock = Wanted {
            key: Key::new(resource_type, &resource_id, lock_name),
            working: status.is_some(),
            tracked_in: tracked.as_ref().map(|tracked| tracked.target),
            status: status.and_then(arg),
            details: details.map(|details| details.datum()),
        };
        let request = Request {
            service_id: Some(service_id),
            cluster: &identity.cluster,
            locks: vec![lock],
            request_id,
            deadline,
            submitted: None,
        };
        Ok(attempts::take(&request)?.first().copied())
    })
}

export! {
    volguard_acquire, pg_finfo_volguard_acquire => acquire_wrapper;
}
