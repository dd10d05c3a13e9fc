//! Cleanup by itself: what the background worker does at each tick, and a client's janitor from time to time.
//!
//! It runs unattended, so it must not block: it never waits for a service lock, and at most a second for a row. What
//! fails on one service doesn't stop the cleanup of the next. What it leaves, the next cleanup finds again.

use super::cleanup;
use super::tally::{CleanedRow, DeadService, Tally};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::settings;
use crate::pg::spi::arg;
use crate::service::service_lock::ServiceLock;
use crate::store::{events, sql};
use crate::wait::Deadline;
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use std::time::Duration;

/// How long a lock wait that a crash rule runs into may take.
const ROW_LIMIT: Duration = Duration::from_secs(1);

/// When work that no rule could repair is tried again, in case its rule has been mended. Seconds.
const POSTPONE_S: i32 = 600;

/// Cleans up after the services that are due, of one cluster or of all. Nothing while `volguard.auto_cleanup` is off.
pub fn clean_due(cluster: Option<&str>) -> Result<Vec<CleanedRow>, Error> {
    if !settings::auto_cleanup() {
        return Ok(Vec::new());
    }
    let filter = [cluster.and_then(arg), arg(settings::service_retention_s())];
    let (due, outdated) = sql::DUE_SERVICES.run(&filter, |rows| {
        let is_outdated = |row: &usize| rows.get(*row, 3).unwrap_or(false);
        let (outdated, due): (Vec<_>, Vec<_>) = (0..rows.len()).partition(is_outdated);
        let due = due.into_iter().filter_map(|row| DeadService::read(rows, row));
        (due.collect::<Vec<_>>(), !outdated.is_empty())
    })?;
    let mut cleaned = Vec::new();
    for service in due {
        // One at a time cleans up a cluster. A transaction gets a lock that it has already.
        let cleaning = Tag::of_names(TagKind::Cleaning, &[&service.cluster]);
        if cleaning.try_lock(Mode::Exclusive)?
            && let Some(tally) = clean(service.service_id)?
        {
            cleaned.push(tally.row(service));
        }
    }
    if outdated {
        sql::REMOVE_OLD_SERVICES.count(&[arg(settings::service_retention_s())])?;
        events::trim()?;
    }
    Ok(cleaned)
}

/// `None`, and nothing done, if the service is back, its lock is taken, or something needed is locked or broken.
fn clean(service_id: i64) -> Result<Option<Tally>, Error> {
    let tried = Deadline::after(Duration::ZERO).attempt(ROW_LIMIT, || {
        if !ServiceLock::of(service_id).try_lock_exclusive()? {
            return Ok(None);
        }
        let tally = cleanup::one(service_id)?;
        if tally.as_ref().is_some_and(|tally| tally.awaiting > 0) {
            sql::POSTPONE.count(&[arg(service_id), arg(POSTPONE_S)])?;
        }
        Ok(tally)
    });
    match tried {
        // A cancel or a shutdown is about the whole statement.
        Err(error) if !error.sqlstate().starts_with(b"57") => {
            pgrx::warning!("volguard: cleaning up after service {service_id} failed, and will be tried again: {error}");
            Ok(None)
        }
        tried => tried,
    }
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "pgrx takes no alias here")]
fn auto_cleanup(
    cluster: Option<&str>,
) -> TableIterator<'static, (i64, String, String, &'static str, i64, i64, i64, i64)> {
    let cleaned = verb(Vec::new(), || {
        if cluster.is_some() {
            argument::name("cluster", cluster)?;
        }
        clean_due(cluster)
    });
    TableIterator::new(cleaned)
}

export! {
    volguard_auto_cleanup, pg_finfo_volguard_auto_cleanup => auto_cleanup_wrapper;
}
