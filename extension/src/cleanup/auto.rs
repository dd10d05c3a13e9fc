//! Cleaning up without being asked: what the background worker does at each tick, and a client's janitor at each look.
//!
//! It is nobody's errand, so it stands in nobody's way and lets nothing stand in its own: it waits for no gate, a second at
//! most for a row, and what fails on one service doesn't keep it from the next. Whatever it has to leave it finds again.

use super::cleanup::{self, Service};
use super::tally::Tally;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::settings;
use crate::pg::spi::arg;
use crate::service::guard::ServiceLock;
use crate::store::{events, sql};
use crate::wait::Deadline;
use crate::wait::tag::{Kind, Mode, Tag};
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use std::collections::HashMap;
use std::time::Duration;

/// How long a lock wait that a crash rule runs into may take. The next look tries again.
const ROW_LIMIT: Duration = Duration::from_secs(1);

/// When work that no rule could repair is tried again, in case its rule has been mended. Seconds.
const POSTPONE_S: i32 = 600;

/// Cleans up after the services that are due, of one cluster or of all. Nothing while `volguard.auto_cleanup` is off.
pub fn clean_due(cluster: Option<&str>) -> Result<Vec<(Service, Tally)>, Error> {
    if !settings::auto_cleanup() {
        return Ok(Vec::new());
    }
    let due = Due::look(cluster)?;
    let mut clusters = Clusters::default();
    let mut cleaned = Vec::new();
    for service in due.services {
        if !clusters.are_mine(&service.cluster)? {
            continue;
        }
        if let Some(tally) = clean(service.service_id)? {
            cleaned.push((service, tally));
        }
    }
    if due.outdated {
        sql::REMOVE_OLD_SERVICES.count(&[arg(settings::service_retention_s())])?;
        events::trim()?;
    }
    Ok(cleaned)
}

/// What one look finds to do.
#[derive(Default)]
struct Due {
    services: Vec<Service>,
    /// There are services that nobody needs to see any more.
    outdated: bool,
}

impl Due {
    fn look(cluster: Option<&str>) -> Result<Due, Error> {
        let filter = [cluster.and_then(arg), arg(settings::service_retention_s())];
        sql::DUE_SERVICES.run(&filter, |rows| {
            let mut due = Due::default();
            for row in 0..rows.len() {
                if rows.get(row, 3).unwrap_or(false) {
                    due.outdated = true;
                } else {
                    due.services.extend(Service::read(rows, row));
                }
            }
            due
        })
    }
}

/// The clusters that were come by, and whether they are this transaction's to clean.
#[derive(Default)]
struct Clusters(HashMap<String, bool>);

impl Clusters {
    /// False if somebody else is at it.
    fn are_mine(&mut self, cluster: &str) -> Result<bool, Error> {
        if let Some(&mine) = self.0.get(cluster) {
            return Ok(mine);
        }
        let mine = Tag::of_names(Kind::Cleaning, &[cluster]).try_lock(Mode::Exclusive)?;
        self.0.insert(cluster.to_owned(), mine);
        Ok(mine)
    }
}

/// `None`, and nothing done, if the service is back, somebody is in its gate, or something needed is locked or broken.
fn clean(service_id: i64) -> Result<Option<Tally>, Error> {
    let tried = Deadline::after(Duration::ZERO).attempt(ROW_LIMIT, || {
        if !ServiceLock::of(service_id).try_lock_exclusive()? {
            return Ok(None);
        }
        let tally = cleanup::clean_one(service_id)?;
        if tally.as_ref().is_some_and(|tally| tally.awaiting > 0) {
            sql::POSTPONE.count(&[arg(service_id), arg(POSTPONE_S)])?;
        }
        Ok(tally)
    });
    match tried {
        Err(error) if !is_order(&error) => {
            pgrx::warning!(
                "volguard: cleaning up after service {service_id} failed, and will be tried again: {error}"
            );
            Ok(None)
        }
        tried => tried,
    }
}

/// A cancel or a shutdown is meant for all that the statement does.
fn is_order(error: &Error) -> bool {
    error.sqlstate().starts_with(b"57")
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the SQL interface")]
fn auto_cleanup(
    cluster: Option<&str>,
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
        let cluster = cluster
            .map(|cluster| argument::name("cluster", Some(cluster)))
            .transpose()?;
        clean_due(cluster)
    });
    TableIterator::new(cleaned.into_iter().map(cleanup::row))
}

export! {
    volguard_auto_cleanup, pg_finfo_volguard_auto_cleanup => auto_cleanup_wrapper;
}
