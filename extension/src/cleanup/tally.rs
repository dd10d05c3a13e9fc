//! What a cleanup did, by service.

use super::repair::WorkOutcome;
use crate::pg::error::Error;
use crate::pg::spi::Rows;
use crate::store::events::{self, Event, EventKind};
use crate::store::tables::Tables;
use serde_json::json;
use std::collections::BTreeMap;

/// A row that the SQL functions return: service_id, cluster, host, state, locks_released, resources_cleaned,
/// resources_stale, awaiting.
pub type CleanedRow = (i64, String, String, &'static str, i64, i64, i64, i64);

/// A service to clean up after.
#[derive(Debug)]
pub struct DeadService {
    pub service_id: i64,
    pub cluster: String,
    pub host: String,
}

impl DeadService {
    /// The first three columns of a row.
    pub fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(DeadService { service_id: rows.get(row, 0)?, cluster: rows.get(row, 1)?, host: rows.get(row, 2)? })
    }
}

/// What became of the locks and the work of one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub locks_released: i64,
    pub resources_cleaned: i64,
    pub resources_stale: i64,
    pub awaiting: i64,
}

impl Tally {
    pub fn count(&mut self, outcome: WorkOutcome) {
        match outcome {
            WorkOutcome::Cleaned => self.resources_cleaned += 1,
            WorkOutcome::Stale => self.resources_stale += 1,
            WorkOutcome::Awaiting => self.awaiting += 1,
        }
    }

    fn state(&self) -> &'static str {
        match self.awaiting {
            0 => "cleaned",
            _ => "unavailable",
        }
    }

    pub fn row(&self, service: DeadService) -> CleanedRow {
        (
            service.service_id,
            service.cluster,
            service.host,
            self.state(),
            self.locks_released,
            self.resources_cleaned,
            self.resources_stale,
            self.awaiting,
        )
    }

    /// Records what was done. Work that still waits is no event: the next cleanup finds it again.
    fn record(&self, service_id: i64) -> Result<(), Error> {
        if self.locks_released + self.resources_cleaned + self.resources_stale == 0 {
            return Ok(());
        }
        let registration = Tables::open()?.registration(service_id)?;
        events::record(&Event {
            cluster: registration.as_ref().map(|(cluster, _)| cluster.as_str()),
            service_id: Some(service_id),
            details: json!({
                "state": self.state(),
                "locks_released": self.locks_released,
                "resources_cleaned": self.resources_cleaned,
                "resources_stale": self.resources_stale,
                "awaiting": self.awaiting,
            }),
            ..Event::of(EventKind::Cleaned)
        })
    }
}

/// The services that something was done for, or that have work which waits.
#[derive(Debug, Default)]
pub struct Tallies(BTreeMap<i64, Tally>);

impl Tallies {
    /// The tally of a service; made if there is none yet.
    pub fn of(&mut self, service_id: i64) -> &mut Tally {
        self.0.entry(service_id).or_default()
    }

    pub fn record(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(|(service_id, tally)| tally.record(*service_id))
    }

    pub fn remove(&mut self, service_id: i64) -> Option<Tally> {
        self.0.remove(&service_id)
    }
}
