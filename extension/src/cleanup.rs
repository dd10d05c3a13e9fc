//! Cleaning up after dead services: fence, free the plain locks, repair the work by its crash rules.

use crate::error::Error;
use crate::events::{self, Event};
use crate::export::{export, verb};
use crate::fence::{self, Gate};
use crate::repair::{Outcome, Repairs};
use crate::spi::{Arg, arg};
use crate::{argument, lock, settings, statements};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use serde_json::json;

/// Which rows of a dead service a cleanup is about; NULL for all.
struct Scope {
    resource_type: Arg,
    resource_id: Arg,
    until: Arg,
}

impl Scope {
    const EVERYTHING: Scope = Scope {
        resource_type: None,
        resource_id: None,
        until: None,
    };

    fn of(&self, service_id: i64) -> [Arg; 4] {
        [
            arg(service_id),
            self.resource_type,
            self.resource_id,
            self.until,
        ]
    }
}

struct Service {
    service_id: i64,
    cluster: String,
    host: String,
}

/// What became of one service.
#[derive(Default, PartialEq, Eq)]
struct Tally {
    locks_released: i64,
    resources_cleaned: i64,
    resources_stale: i64,
    awaiting: i64,
}

impl Tally {
    fn state(&self) -> &'static str {
        if self.awaiting == 0 {
            "cleaned"
        } else {
            "unavailable"
        }
    }

    /// Records what was done. That something still waits is no event: the next cleanup will find the same.
    fn record(&self, service_id: i64) -> Result<(), Error> {
        if self.locks_released + self.resources_cleaned + self.resources_stale == 0 {
            return Ok(());
        }
        let cluster = statements::SERVICE_IDENTITY
            .run(&[arg(service_id)], |rows| rows.get::<String>(0, 0))?;
        events::record(&Event {
            cluster: cluster.as_deref(),
            service_id: Some(service_id),
            details: json!({
                "state": self.state(),
                "locks_released": self.locks_released,
                "resources_cleaned": self.resources_cleaned,
                "resources_stale": self.resources_stale,
                "awaiting": self.awaiting,
            }),
            ..Event::of(events::Kind::Cleaned)
        })
    }
}

/// Cleans a service that the caller's statement has found dead. False, and nothing done, if somebody else is at it:
/// never waits for the service's gate.
pub fn if_nobody_else_does(service_id: i64) -> Result<bool, Error> {
    if !Gate::of(service_id).try_close()? {
        return Ok(false);
    }
    clean(service_id, &Scope::EVERYTHING)?;
    Ok(true)
}

/// Under the closed gate. `None` if there was nothing to do: the service is alive after all, or another cleanup came first.
fn clean(service_id: i64, scope: &Scope) -> Result<Option<Tally>, Error> {
    let newly_fenced = fence::fence(service_id, fence::Who::Dead)?;
    if !newly_fenced && is_alive(service_id)? {
        return Ok(None);
    }
    let scope = scope.of(service_id);
    let mut tally = Tally {
        locks_released: lock::remove(&statements::DROP_PLAIN_LOCKS, &scope)? as i64,
        ..Tally::default()
    };
    let work = statements::CRASHED_WORK.run(&scope, |rows| {
        let text = |row, column| rows.get::<String>(row, column).unwrap_or_default();
        (0..rows.len())
            .filter_map(|row| {
                Some((
                    rows.get::<i64>(row, 0)?,
                    text(row, 1),
                    text(row, 2),
                    text(row, 3),
                ))
            })
            .collect::<Vec<_>>()
    })?;
    let mut repairs = Repairs::default();
    for (token, resource_type, resource_id, status) in work {
        match repairs.repair(&resource_type, &resource_id, &status)? {
            Outcome::Cleaned => tally.resources_cleaned += 1,
            Outcome::Stale => tally.resources_stale += 1,
            Outcome::Awaiting => {
                tally.awaiting += 1;
                continue;
            }
        }
        lock::remove(&statements::FORCE_RELEASE, &[arg(token)])?;
    }
    tally.record(service_id)?;
    let idle = !newly_fenced && tally == Tally::default();
    Ok((!idle).then_some(tally))
}

fn is_alive(service_id: i64) -> Result<bool, Error> {
    statements::ALIVE.run(&[arg(service_id)], |rows| rows.get(0, 0).unwrap_or(false))
}

#[pg_extern(sql = false)]
#[allow(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "the SQL interface"
)]
fn cleanup(
    service_id: Option<i64>,
    cluster: Option<&str>,
    host: Option<&str>,
    binary_name: Option<&str>,
    disabled: Option<bool>,
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    until: Option<TimestampWithTimeZone>,
) -> TableIterator<
    'static,
    (
        pgrx::name!(service_id, i64),
        pgrx::name!(cluster, String),
        pgrx::name!(host, String),
        pgrx::name!(state, &'static str),
        pgrx::name!(locks_released, i64),
        pgrx::name!(resources_cleaned, i64),
        pgrx::name!(resources_stale, i64),
        pgrx::name!(awaiting, i64),
    ),
> {
    let cleaned = verb(Vec::new(), || {
        if let Some(service_id) = service_id {
            refuse_living(service_id)?;
        }
        for (name, value) in [
            ("cluster", cluster),
            ("host", host),
            ("binary_name", binary_name),
            ("resource_type", resource_type),
        ] {
            value
                .map(|value| argument::name(name, Some(value)))
                .transpose()?;
        }
        resource_id
            .map(|id| argument::resource_id(Some(id)))
            .transpose()?;
        let scope = Scope {
            resource_type: resource_type.and_then(arg),
            resource_id: resource_id.and_then(arg),
            until: until.and_then(arg),
        };
        let filter = [
            service_id.and_then(arg),
            cluster.and_then(arg),
            host.and_then(arg),
            binary_name.and_then(arg),
            disabled.and_then(arg),
            scope.resource_type,
            scope.resource_id,
            scope.until,
        ];
        let mut cleaned = Vec::new();
        for service in dead_services(&filter)? {
            Gate::of(service.service_id).close()?;
            if let Some(tally) = clean(service.service_id, &scope)? {
                cleaned.push((service, tally));
            }
        }
        statements::REMOVE_OLD_SERVICES.count(&[arg(settings::service_retention_s())])?;
        events::trim()?;
        Ok(cleaned)
    });
    TableIterator::new(cleaned.into_iter().map(|(service, tally)| {
        (
            service.service_id,
            service.cluster,
            service.host,
            tally.state(),
            tally.locks_released,
            tally.resources_cleaned,
            tally.resources_stale,
            tally.awaiting,
        )
    }))
}

/// Somebody who names a living service means to hit it, and must be told that this doesn't.
fn refuse_living(service_id: i64) -> Result<(), Error> {
    let alive = statements::ALIVE.run(&[arg(service_id)], |rows| rows.get::<bool>(0, 0))?;
    match alive {
        None => Err(Error::ServiceFenced(service_id)),
        Some(true) => Err(Error::ServiceAlive(service_id)),
        Some(false) => Ok(()),
    }
}

fn dead_services(filter: &[Arg]) -> Result<Vec<Service>, Error> {
    statements::DEAD_SERVICES.run(filter, |rows| {
        let service = |row| {
            Some(Service {
                service_id: rows.get(row, 0)?,
                cluster: rows.get(row, 1)?,
                host: rows.get(row, 2)?,
            })
        };
        (0..rows.len()).filter_map(service).collect()
    })
}

export! {
    volguard_cleanup, pg_finfo_volguard_cleanup => cleanup_wrapper;
}
