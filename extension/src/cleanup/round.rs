//! One call of a cleanup: it fences services and frees their plain locks, or repairs their work, never both. So what
//! the first half did is committed before a rule begins, which may take long or fail.

use super::fences::{Fences, OUT_OF_MEMORY};
use super::repairs;
use super::selection::{DeadService, Selection};
use super::tally::{CleanedRow, Tallies, Tally};
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::pg::{lookup_locks, settings};
use crate::sabotage::{self, Guard};
use crate::service::{broken, cluster, patience};
use crate::store::{ended, events, sql};
use pgrx::pg_sys;

/// How many services one call cleans up after, at the most: it holds locks on each.
const MOST_SERVICES: usize = 200;

/// For how many busy services one call looks whether a session hangs, at the most: each look reads the lock table.
const MOST_HANGING: usize = 16;

/// How many rows one call removes, at the most.
const MOST_ROWS: usize = 10_000;

/// How many rows one call has repaired, at the most, in many transactions.
const MOST_REPAIRS: usize = 50_000;

/// What one call did.
#[derive(Default)]
pub struct Round {
    pub rows: Vec<CleanedRow>,
    /// Another call would do more at once.
    pub more: bool,
}

impl Round {
    pub fn run(selection: &Selection) -> Result<Round, Error> {
        lookup_locks::given_back(broken::warn)?;
        let services = selection.dead_services()?;
        let round = clean(selection, services)?;
        tidy_up()?;
        Ok(round)
    }

    /// The rows of the SQL functions; the last one says if there is more to do.
    pub fn into_rows(self) -> Vec<CleanedRow> {
        let more = self.more.then_some((None, None, None, "more", 0, 0, 0, 0));
        self.rows.into_iter().chain(more).collect()
    }
}

/// Removes what is over. If the lock table is full, another call does it.
fn tidy_up() -> Result<(), Error> {
    let tidied = attempt(|| {
        sql::REMOVE_OLD_SERVICES.count(&[arg(settings::service_retention_s())])?;
        cluster::remove_empty(None)?;
        events::trim()?;
        ended::trim().map(Some)
    });
    match tidied {
        Err(Error::Postgres(error)) if error.sqlstate() == OUT_OF_MEMORY => Ok(()),
        tidied => tidied.map(drop),
    }
}

fn clean(selection: &Selection, services: Vec<DeadService>) -> Result<Round, Error> {
    let most = most_services();
    let (late, fenced): (Vec<_>, Vec<_>) = services.iter().partition(|service| service.late);
    let mut fences = Fences::default();
    fences.fence(&late, most)?;
    // Outside of what may be undone, as the end of a session can't be.
    for service_id in fences.busy.iter().take(MOST_HANGING) {
        patience::end_idle_holder(*service_id)?;
    }
    let with_locks = fenced.iter().filter(|service| service.has_plain_locks).map(|service| service.service_id);
    let with_locks = fences.fenced.iter().copied().chain(with_locks.take(most)).collect();
    fences.free_plain_locks(selection, with_locks, MOST_ROWS)?;
    let mut tallies = Tallies::default();
    for service_id in &fences.fenced {
        tallies.of(*service_id);
    }
    for (service_id, locks) in &fences.freed {
        tallies.of(*service_id).locks_released = *locks;
    }
    let mut more = fences.unfinished && !fences.has_done_nothing();
    let is_first_half = !fences.has_done_nothing() && !sabotage::removed(Guard::FenceFirst);
    let mut repairable: Vec<_> = fenced.into_iter().filter(|service| service.has_work).collect();
    if is_first_half {
        more |= !repairable.is_empty();
    } else {
        if sabotage::removed(Guard::FenceFirst) {
            repairable.extend(late.iter().filter(|service| fences.fenced.contains(&service.service_id)));
        }
        let repairs = repairs::repair(selection, &repairable, most, MOST_REPAIRS)?;
        tallies.add(repairs.tallies);
        fences.busy.extend(repairs.busy);
        more |= repairs.unfinished;
    }
    let work_left = tallies.count_work_left(selection)?;
    more |= is_first_half && work_left;
    if is_first_half {
        tallies.record()?;
    }
    let rows = services.into_iter().filter_map(|service| {
        if fences.busy.contains(&service.service_id) {
            return Some(Tally::default().row(service, "busy"));
        }
        let tally = tallies.remove(service.service_id)?;
        Some(tally.row(service, tally.state(is_first_half)))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by_key(|row| row.0);
    Ok(Round { rows, more })
}

/// Two locks for each service, in half of the lock table at the most: other calls need some too.
fn most_services() -> usize {
    if sabotage::removed(Guard::Budget) {
        return usize::MAX;
    }
    // SAFETY: plain variables of the server.
    let table = unsafe { i64::from(pg_sys::max_locks_per_xact) * i64::from(pg_sys::MaxConnections) };
    usize::try_from(table / 4).unwrap_or(MOST_SERVICES).clamp(1, MOST_SERVICES)
}
