//! Registering a service: each registration is a new incarnation, which fences the earlier one.

use super::fence;
use super::guard::ServiceLock;
use super::identity::permit;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::pg::{owner, settings};
use crate::store::{sql, token};
use crate::wait::tag::{Kind, Mode, Tag};
use pgrx::datum::{AnyElement, Interval};
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;

/// Whoever names no cluster shares this one, and so contends for the same locks.
const DEFAULT_CLUSTER: &str = "default";

#[pg_extern(sql = false)]
fn register_service(
    host: Option<&str>,
    binary_name: Option<&str>,
    cluster: Option<&str>,
    lease: Option<Interval>,
    // Passed on as it is, however deep it nests.
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
        // Of two that register the same name at once, the later one stays.
        Tag::of_names(Kind::Incarnation, &[cluster, host, binary_name]).lock(Mode::Exclusive)?;
        sql::ADD_CLUSTER.count(&[arg(cluster)])?;
        fence_earlier(cluster, host, binary_name)?;
        let id = sql::ADD_SERVICE.run(
            &[
                arg(cluster),
                arg(host),
                arg(binary_name),
                arg(lease),
                arg(owner::caller()),
                details.map(|details| details.datum()),
                arg(token::service_epoch()?),
            ],
            |rows| rows.get(0, 0),
        )?;
        token::make_durable();
        Ok(id)
    })
}

/// Fences the incarnation that had the name until now, alive or not.
fn fence_earlier(cluster: &str, host: &str, binary_name: &str) -> Result<(), Error> {
    let key = [arg(cluster), arg(host), arg(binary_name)];
    let earlier = sql::INCARNATION.run(&key, |rows| {
        Some((rows.get::<i64>(0, 0)?, rows.get::<Oid>(0, 1)?))
    })?;
    let Some((service_id, registered_by)) = earlier else {
        return Ok(());
    };
    permit(service_id, registered_by)?;
    ServiceLock::of(service_id).lock_exclusive()?;
    fence::fence(service_id, fence::Who::Replaced)?;
    Ok(())
}

export! {
    volguard_register_service, pg_finfo_volguard_register_service => register_service_wrapper;
}
