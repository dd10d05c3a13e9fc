//! Cleaning up after dead services: fence them, free their plain locks, repair their work by its crash rules.

use super::kind::WorkKind;
use super::repair::{Found, Repair};
use super::tally::{DeadService, Tallies, Tally};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::lookup_locks;
use crate::pg::settings;
use crate::pg::spi::{Arg, Rows, arg};
use crate::service::fence;
use crate::service::service_lock::ServiceLock;
use crate::store::{events, removal, spelling, sql};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use std::borrow::Cow;

/// Which rows of dead services a cleanup is about: resource_type, resource_id, until; NULL for all.
type RowFilter = [Arg; 3];

/// Cleans up after a service that the caller's statement has found dead. False, and nothing done, if another
/// transaction holds the service lock: this never waits for it.
pub fn unless_busy(service_id: i64) -> Result<bool, Error> {
    let free = ServiceLock::of(service_id).try_lock_exclusive()?;
    if free {
        one(service_id)?;
    }
    Ok(free)
}

/// Cleans up after one service whose lock the transaction holds exclusively. `None` if there was nothing to do.
pub fn one(service_id: i64) -> Result<Option<Tally>, Error> {
    let mut tallies = all(&[service_id], RowFilter::default())?;
    Ok(tallies.remove(service_id))
}

/// Cleans up after services whose locks the transaction holds exclusively. A service has no tally if there was
/// nothing to do: it is alive after all, or another cleanup came first.
fn all(services: &[i64], filter: RowFilter) -> Result<Tallies, Error> {
    let mut tallies = Tallies::default();
    if services.is_empty() {
        return Ok(tallies);
    }
    let newly_fenced = fence::fence_all(services, fence::FenceReason::Dead)?;
    for service_id in &newly_fenced {
        tallies.of(*service_id);
    }
    let dead = match newly_fenced.len() == services.len() {
        true => newly_fenced,
        false => sql::DEAD.run(&[arg(services.to_vec())], Rows::numbers)?,
    };
    if dead.is_empty() {
        return Ok(tallies);
    }
    let [resource_type, resource_id, until] = filter;
    let scope = [arg(dead), resource_type, resource_id, until];
    removal::remove_reading(&sql::DROP_PLAIN_LOCKS, &scope, |rows| {
        for service_id in rows.each(|row| rows.get(row, 6)) {
            tallies.of(service_id).locks_released += 1;
        }
    })?;
    for kind in WorkKind::all_in(&scope)? {
        for (item, outcome) in Repair::of(kind)?.run(Found::InScope(&scope))? {
            tallies.of(item.service_id).count(outcome);
        }
    }
    tallies.record()?;
    Ok(tallies)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the SQL interface")]
#[allow(clippy::type_complexity, reason = "pgrx takes no alias here")]
fn cleanup(
    service_id: Option<i64>,
    cluster: Option<&str>,
    host: Option<&str>,
    binary_name: Option<&str>,
    disabled: Option<bool>,
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    until: Option<TimestampWithTimeZone>,
) -> TableIterator<'static, (i64, String, String, &'static str, i64, i64, i64, i64)> {
    let cleaned = verb(Vec::new(), || {
        if let Some(service_id) = service_id {
            lookup_locks::given_back(|| refuse_living(service_id))?;
        }
        for (argument, value) in
            [("cluster", cluster), ("host", host), ("binary_name", binary_name), ("resource_type", resource_type)]
        {
            if value.is_some() {
                argument::name(argument, value)?;
            }
        }
        let resource_id = resource_id.map(|id| argument::resource_id(Some(id))).transpose()?;
        // Without a type it is compared as it is passed.
        let resource_id = match (resource_type, resource_id) {
            (Some(resource_type), Some(id)) => Some(spelling::spell(resource_type, id, "resource_id")?),
            (_, id) => id.map(Cow::Borrowed),
        };
        let filter = [resource_type.and_then(arg), resource_id.as_deref().and_then(arg), until.and_then(arg)];
        let parameters = [
            service_id.and_then(arg),
            cluster.and_then(arg),
            host.and_then(arg),
            binary_name.and_then(arg),
            disabled.and_then(arg),
            filter[0],
            filter[1],
            filter[2],
        ];
        let services = lookup_locks::given_back(|| {
            sql::DEAD_SERVICES.run(&parameters, |rows| rows.each(|row| DeadService::read(rows, row)))
        })?;
        let ids: Vec<i64> = services.iter().map(|service| service.service_id).collect();
        for id in &ids {
            ServiceLock::of(*id).lock_exclusive()?;
        }
        let mut tallies = all(&ids, filter)?;
        let cleaned = services.into_iter().filter_map(|service| {
            let tally = tallies.remove(service.service_id)?;
            Some(tally.row(service))
        });
        let cleaned = cleaned.collect();
        sql::REMOVE_OLD_SERVICES.count(&[arg(settings::service_retention_s())])?;
        events::trim()?;
        Ok(cleaned)
    });
    TableIterator::new(cleaned)
}

/// A call that names a living service is a mistake, and an empty result would hide it.
fn refuse_living(service_id: i64) -> Result<(), Error> {
    match sql::ALIVE.run(&[arg(service_id)], |rows| rows.get::<bool>(0, 0))? {
        None => Err(Error::ServiceFenced(service_id)),
        Some(true) => Err(Error::ServiceAlive(service_id)),
        Some(false) => Ok(()),
    }
}

export! {
    volguard_cleanup, pg_finfo_volguard_cleanup => cleanup_wrapper;
}
