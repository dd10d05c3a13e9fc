//! Services: registering an incarnation, its heartbeat, its orderly stop.

use super::fence::{self, Gate};
use crate::input::argument;
use crate::lock::release;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::pg::{owner, settings};
use crate::store::{sql, token};
use crate::wait::tag::{Kind, Mode, Tag};
use pgrx::datum::{AnyElement, Interval};
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Whoever names no cluster shares this one, and so contends for the same locks.
const DEFAULT_CLUSTER: &str = "default";

/// Known services a backend remembers; beyond that it starts over.
const REMEMBERED: usize = 4096;

/// What never changes about a service.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cluster: Rc<str>,
    pub registered_by: Oid,
}

thread_local! {
    static IDENTITIES: RefCell<HashMap<i64, Identity>> = RefCell::default();
    /// The generation of our tables that they belong to.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// The service's identity, if the caller may act for it. That it isn't fenced is for the statement to check.
pub fn acting_for(service_id: i64) -> Result<Identity, Error> {
    if GENERATION.replace(owner::generation()) != owner::generation() {
        IDENTITIES.with_borrow_mut(HashMap::clear);
    }
    let known = IDENTITIES.with_borrow(|known| known.get(&service_id).cloned());
    let identity = match known {
        Some(identity) => identity,
        None => look_up(service_id)?,
    };
    permit(service_id, identity.registered_by)?;
    Ok(identity)
}

/// May the caller act for it? False also for one that is unknown.
pub fn may_act_for(service_id: i64) -> Result<bool, Error> {
    match acting_for(service_id) {
        Ok(_) => Ok(true),
        Err(Error::Denied { .. } | Error::ServiceFenced(_)) => Ok(false),
        Err(other) => Err(other),
    }
}

fn look_up(service_id: i64) -> Result<Identity, Error> {
    let found = sql::SERVICE_IDENTITY.run(&[arg(service_id)], |rows| {
        Some(Identity {
            cluster: rows.get::<String>(0, 0)?.into(),
            registered_by: rows.get(0, 1)?,
        })
    })?;
    let identity = found.ok_or(Error::ServiceFenced(service_id))?;
    IDENTITIES.with_borrow_mut(|known| {
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(service_id, identity.clone());
    });
    Ok(identity)
}

/// Refuses a caller that isn't a member of the role that registered the service.
pub fn permit(service_id: i64, registered_by: Oid) -> Result<(), Error> {
    if owner::caller_is(registered_by) {
        return Ok(());
    }
    Err(Error::Denied {
        what: format!("service {service_id} belongs to another role"),
        hint: "Act as the role that registered the service, or as a member of it.",
    })
}

/// For a caller inside the service's gate: fenced it is not, and will not be before the commit.
pub fn require_unfenced(service_id: i64) -> Result<(), Error> {
    match sql::UNFENCED.count(&[arg(service_id)])? {
        0 => Err(Error::ServiceFenced(service_id)),
        _ => Ok(()),
    }
}

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
    Gate::of(service_id).close()?;
    fence::fence(service_id, fence::Who::Replaced)?;
    Ok(())
}

#[pg_extern(sql = false)]
fn heartbeat(service_id: Option<i64>) -> Option<Interval> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        acting_for(service_id)?;
        let lease = sql::HEARTBEAT.run(&[arg(service_id)], |rows| rows.get(0, 0))?;
        lease.map(Some).ok_or(Error::ServiceFenced(service_id))
    })
}

#[pg_extern(sql = false)]
fn deregister_service(service_id: Option<i64>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        acting_for(service_id)?;
        Gate::of(service_id).close()?;
        if !fence::fence(service_id, fence::Who::Stopping)? {
            return Err(Error::ServiceFenced(service_id));
        }
        release::remove(
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
    volguard_register_service, pg_finfo_volguard_register_service => register_service_wrapper;
    volguard_heartbeat, pg_finfo_volguard_heartbeat => heartbeat_wrapper;
    volguard_deregister_service, pg_finfo_volguard_deregister_service => deregister_service_wrapper;
}
