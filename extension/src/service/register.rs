//! The start and the orderly stop of a service. Each registration is a new incarnation, which fences the earlier one.

use super::fence::{self, FenceReason};
use super::identity::{acting_for, permit};
use super::service_lock::ServiceLock;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::pg::{lookup_locks, owner, settings};
use crate::store::{removal, sql, token};
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::datum::{AnyElement, Interval};
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;

/// The cluster of services that register without one, so that they contend for the same locks.
const DEFAULT_CLUSTER: &str = "default";

#[pg_extern(sql = false)]
fn register_service(
    host: Option<&str>,
    binary_name: Option<&str>,
    cluster: Option<&str>,
    lease: Option<Interval>,
    // Stored without being read, so that its depth doesn't matter.
    details: Option<AnyElement>,
) -> Option<i64> {
    verb(None, || {
        let host = argument::name("host", host)?;
        let binary_name = argument::name("binary_name", binary_name)?;
        let cluster = argument::name("cluster", Some(cluster.unwrap_or(DEFAULT_CLUSTER)))?;
        let lease = match lease {
            Some(lease) => argument::lease(lease)?,
            None => Interval::from_micros(i64::from(settings::service_down_time_ms()) * 1000),
        };
        // Of two registrations of one name at the same time the later one stays.
        Tag::of_names(TagKind::Incarnation, &[cluster, host, binary_name]).lock(Mode::Exclusive)?;
        fence_earlier(cluster, host, binary_name)?;
        sql::ADD_CLUSTER.count(&[arg(cluster)])?;
        let service_id = token::draw_id()?;
        sql::ADD_SERVICE.count(&[
            arg(cluster),
            arg(host),
            arg(binary_name),
            arg(lease),
            arg(owner::caller()),
            details.map(|details| details.datum()),
            arg(service_id),
        ])?;
        Ok(Some(service_id))
    })
}

/// Fences the incarnation that has had the name until now, alive or not.
fn fence_earlier(cluster: &str, host: &str, binary_name: &str) -> Result<(), Error> {
    let key = [arg(cluster), arg(host), arg(binary_name)];
    let earlier = lookup_locks::given_back(|| {
        sql::INCARNATION.run(&key, |rows| Some((rows.get::<i64>(0, 0)?, rows.get::<Oid>(0, 1)?)))
    })?;
    let Some((service_id, registered_by)) = earlier else {
        return Ok(());
    };
    permit(service_id, registered_by)?;
    ServiceLock::of(service_id).lock_exclusive()?;
    fence::fence(service_id, FenceReason::Replaced)?;
    Ok(())
}

#[pg_extern(sql = false)]
fn deregister_service(service_id: Option<i64>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        acting_for(service_id)?;
        ServiceLock::of(service_id).lock_exclusive()?;
        if !fence::fence(service_id, FenceReason::Stopping)? {
            return Err(Error::ServiceFenced(service_id));
        }
        removal::remove(&sql::DROP_PLAIN_LOCKS, &[arg(vec![service_id]), None, None, None])?;
        let left = sql::SERVICE_ROWS.count(&[arg(service_id)])?;
        if left == 0 {
            sql::REMOVE_SERVICE.count(&[arg(service_id)])?;
        }
        Ok(Some(left as i64))
    })
}

export! {
    volguard_register_service, pg_finfo_volguard_register_service => register_service_wrapper;
    volguard_deregister_service, pg_finfo_volguard_deregister_service => deregister_service_wrapper;
}
