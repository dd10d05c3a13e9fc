//! The start and the orderly stop of a service. Each registration is a new incarnation, which fences the earlier one.

use super::fence::{self, FenceReason};
use super::identity::acting_for;
use super::service_lock::ServiceLock;
use super::{cluster, in_time};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::{Rows, arg};
use crate::pg::{lookup_locks, owner, settings};
use crate::sabotage::{self, Guard};
use crate::store::{removal, sql, token};
use crate::wait::Deadline;
use crate::wait::tag::{Tag, TagKind};
use pgrx::datum::{AnyElement, Interval};
use pgrx::pg_extern;

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
        let cluster = argument::name("cluster", Some(cluster.unwrap_or(cluster::DEFAULT_CLUSTER)))?;
        let lease = match lease {
            Some(lease) => argument::lease(lease)?,
            None => Interval::from_micros(i64::from(settings::service_down_time_ms()) * 1000),
        };
        let deadline = in_time::deadline();
        let registered_by = owner::name(owner::caller());
        let owner = cluster::enter(cluster, &deadline)?.unwrap_or_else(|| registered_by.clone());
        fence_earlier(&owner, host, binary_name, &deadline)?;
        let service_id = token::draw_id()?;
        sql::ADD_SERVICE.count(&[
            arg(cluster),
            arg(host),
            arg(binary_name),
            arg(lease),
            arg(registered_by),
            arg(owner),
            details.map(|details| details.datum()),
            arg(service_id),
        ])?;
        Ok(Some(service_id))
    })
}

/// Fences the incarnation that has had the identity until now, alive or not, in whatever cluster it was. Until the
/// transaction ends, there is no other registration of the identity: of two at the same time the later one stays.
fn fence_earlier(owner: &str, host: &str, binary_name: &str, deadline: &Deadline) -> Result<(), Error> {
    let identity = Tag::of_names(TagKind::Incarnation, &[owner, host, binary_name]);
    in_time::lock(&identity, deadline, || {
        format!("{binary_name} on {host} is being registered by another transaction")
    })?;
    let key = [arg(owner), arg(host), arg(binary_name)];
    let earlier = lookup_locks::given_back(|| sql::INCARNATION.run(&key, |rows| rows.get(0, 0)))?;
    if let Some(service_id) = earlier
        && !sabotage::removed(Guard::FenceEarlier)
    {
        ServiceLock::of(service_id).lock_exclusive_in_time(deadline)?;
        fence::in_time(deadline, &[service_id], || fence::replace(service_id))?;
    }
    Ok(())
}

#[pg_extern(sql = false)]
fn deregister_service(service_id: Option<i64>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let cluster = acting_for(service_id)?.cluster;
        let deadline = in_time::deadline();
        ServiceLock::of(service_id).lock_exclusive_in_time(&deadline)?;
        if !fence::in_time(&deadline, &[service_id], || fence::fence(service_id, FenceReason::Stopping))? {
            return Err(Error::ServiceFenced(service_id));
        }
        removal::remove(&sql::DROP_PLAIN_LOCKS, &[arg(service_id)])?;
        let submitted = sql::SUBMITTED_OF.run(&[arg(service_id)], Rows::numbers)?;
        if !submitted.is_empty() {
            removal::put_back(&submitted)?;
        }
        let left = sql::SERVICE_ROWS.count(&[arg(service_id)])?;
        if left == 0 {
            sql::REMOVE_SERVICE.count(&[arg(service_id)])?;
            cluster::remove_empty(Some(&cluster))?;
        }
        Ok(Some(left as i64))
    })
}

export! {
    volguard_register_service, pg_finfo_volguard_register_service => register_service_wrapper;
    volguard_deregister_service, pg_finfo_volguard_deregister_service => deregister_service_wrapper;
}
