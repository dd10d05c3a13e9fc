//! Cleaning up after dead services: fence, free the plain locks, repair the work by its crash rules.

use super::tally::{Tallies, Tally};
use super::work::{self, Kind};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::settings;
use crate::pg::spi::{Arg, Rows, arg};
use crate::service::fence;
use crate::service::guard::ServiceLock;
use crate::store::{events, sql};
use crate::wait::WaitQueue;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_extern;

/// Which rows of dead services a cleanup is about; NULL for all.
#[derive(Default)]
struct Filter {
    resource_type: Arg,
    resource_id: Arg,
    until: Arg,
}

/// The dead services, and the filter on their rows, as parameters.
pub struct Scope([Arg; 4]);

impl Scope {
    fn new(services: &[i64], filter: &Filter) -> Self {
        Scope([
            arg(services.to_vec()),
            filter.resource_type,
            filter.resource_id,
            filter.until,
        ])
    }

    pub fn services(&self) -> Arg {
        self.0[0]
    }

    pub fn of_kind(&self, kind: &Kind) -> [Arg; 6] {
        let [services, resource_type, resource_id, until] = self.0;
        [
            services,
            resource_type,
            resource_id,
            until,
            arg(kind.resource_type.as_str()),
            arg(kind.status.as_str()),
        ]
    }
}

pub struct Service {
    pub service_id: i64,
    pub cluster: String,
    pub host: String,
}

impl Service {
    /// The first three columns of a row.
    pub fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(Service {
            service_id: rows.get(row, 0)?,
            cluster: rows.get(row, 1)?,
            host: rows.get(row, 2)?,
        })
    }
}

/// Cleans a service that the caller's statement has found dead. False, and nothing done, if somebody else is at it:
/// never waits for the service's gate.
pub fn if_nobody_else_does(service_id: i64) -> Result<bool, Error> {
    if !ServiceLock::of(service_id).try_lock_exclusive()? {
        return Ok(false);
    }
    clean_one(service_id)?;
    Ok(true)
}

/// Cleans everything of one service whose gate the transaction has closed. `None` if there was nothing to do.
pub fn clean_one(service_id: i64) -> Result<Option<Tally>, Error> {
    let mut tallies = clean(&[service_id], &Filter::default())?;
    Ok(tallies.remove(service_id))
}

/// Under the closed gates. A service has no tally if there was nothing to do: it is alive after all, or another cleanup came
/// first.
fn clean(services: &[i64], filter: &Filter) -> Result<Tallies, Error> {
    let mut tallies = Tallies::default();
    let newly_fenced = fence::fence_all(services, fence::Who::Dead)?;
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
    let scope = Scope::new(&dead, filter);
    drop_plain_locks(&scope, &mut tallies)?;
    for kind in kinds(&scope)? {
        work::clean(&kind, &scope, &mut tallies)?;
    }
    tallies.record()?;
    Ok(tallies)
}

fn drop_plain_locks(scope: &Scope, tallies: &mut Tallies) -> Result<(), Error> {
    sql::DROP_PLAIN_LOCKS.run(&scope.0, |rows| {
        for row in 0..rows.len() {
            let name = |column| rows.get::<&str>(row, column).unwrap_or_default();
            WaitQueue::of_key(name(1), name(2), name(3)).wake_after_commit();
            if let Some(service_id) = rows.get(row, 6) {
                tallies.of(service_id).locks_released += 1;
            }
        }
    })
}

fn kinds(scope: &Scope) -> Result<Vec<Kind>, Error> {
    sql::CRASHED_KINDS.run(&scope.0, |rows| {
        let kind = |row| Some((rows.get::<&str>(row, 0)?, rows.get::<&str>(row, 1)?));
        let mut kinds: Vec<_> = (0..rows.len()).filter_map(kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let owned = |(resource_type, status): (&str, &str)| Kind {
            resource_type: resource_type.to_owned(),
            status: status.to_owned(),
        };
        kinds.into_iter().map(owned).collect()
    })
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
        let rows = Filter {
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
            rows.resource_type,
            rows.resource_id,
            rows.until,
        ];
        let services = dead_services(&filter)?;
        let ids: Vec<i64> = services.iter().map(|service| service.service_id).collect();
        for id in &ids {
            ServiceLock::of(*id).lock_exclusive()?;
        }
        let mut tallies = match ids.is_empty() {
            true => Tallies::default(),
            false => clean(&ids, &rows)?,
        };
        let cleaned = services.into_iter().filter_map(|service| {
            let tally = tallies.remove(service.service_id)?;
            Some((service, tally))
        });
        let cleaned: Vec<_> = cleaned.collect();
        sql::REMOVE_OLD_SERVICES.count(&[arg(settings::service_retention_s())])?;
        events::trim()?;
        Ok(cleaned)
    });
    TableIterator::new(cleaned.into_iter().map(row))
}

/// One service as the caller is told of it; the names of the columns are those of the functions.
pub type CleanedRow = (i64, String, String, &'static str, i64, i64, i64, i64);

pub fn row((service, tally): (Service, Tally)) -> CleanedRow {
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
}

/// Somebody who names a living service means to hit it, and must be told that this doesn't.
fn refuse_living(service_id: i64) -> Result<(), Error> {
    let alive = sql::ALIVE.run(&[arg(service_id)], |rows| rows.get::<bool>(0, 0))?;
    match alive {
        None => Err(Error::ServiceFenced(service_id)),
        Some(true) => Err(Error::ServiceAlive(service_id)),
        Some(false) => Ok(()),
    }
}

fn dead_services(filter: &[Arg]) -> Result<Vec<Service>, Error> {
    sql::DEAD_SERVICES.run(filter, |rows| {
        let service = |row| Service::read(rows, row);
        (0..rows.len()).filter_map(service).collect()
    })
}

export! {
    volguard_cleanup, pg_finfo_volguard_cleanup => cleanup_wrapper;
}
