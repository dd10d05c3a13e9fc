//! What a cleanup did, by service.

use super::order::State;
use super::selection::{DeadService, Selection};
use crate::pg::error::Error;
use crate::pg::spi::Rows;
use crate::store::events::{self, Event, EventKind};
use crate::store::sql;
use crate::store::tables::Tables;
use serde_json::json;
use std::collections::BTreeMap;

/// A row that the SQL functions return: service_id, cluster, host, state, locks_released, resources_cleaned,
/// resources_stale, awaiting. The last row of an answer may be about no service.
pub type CleanedRow = (Option<i64>, Option<String>, Option<String>, &'static str, i64, i64, i64, i64);

/// What became of the locks and the work of one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub locks_released: i64,
    pub resources_cleaned: i64,
    pub resources_stale: i64,
    pub awaiting: i64,
}

impl Tally {
    pub fn count(&mut self, state: State) {
        match state {
            State::Cleaned | State::Retried => self.resources_cleaned += 1,
            State::Stale => self.resources_stale += 1,
            // What is left is counted in the end.
            _ => {}
        }
    }

    pub fn is_of_something(&self) -> bool {
        self.locks_released + self.resources_cleaned + self.resources_stale > 0
    }

    /// The state of the service. After the first half of a cleanup its work is yet to be tried.
    pub fn state(&self, is_first_half: bool) -> &'static str {
        match (self.awaiting, is_first_half) {
            (0, _) => "cleaned",
            (_, true) => "fenced",
            (_, false) => "unavailable",
        }
    }

    pub fn row(&self, service: DeadService, state: &'static str) -> CleanedRow {
        (
            Some(service.service_id),
            Some(service.cluster),
            Some(service.host),
            state,
            self.locks_released,
            self.resources_cleaned,
            self.resources_stale,
            self.awaiting,
        )
    }

    /// Records what was done. Work that still waits is no event: the next cleanup finds it again.
    fn record(&self, service_id: i64, state: &str) -> Result<(), Error> {
        if !self.is_of_something() {
            return Ok(());
        }
        let registration = Tables::open()?.registration(service_id)?;
        events::record(&Event {
            cluster: registration.as_ref().map(|service| service.cluster.as_str()),
            service_id: Some(service_id),
            details: json!({
                "state": state,
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

    pub fn is_of(&self, service_id: i64) -> bool {
        self.0.contains_key(&service_id)
    }

    /// Takes what another half of the cleanup did.
    pub fn add(&mut self, others: Tallies) {
        for (service_id, other) in others.0 {
            let locks_released = self.of(service_id).locks_released;
            self.0.insert(service_id, Tally { locks_released, ..other });
        }
    }

    /// Counts the work that the services have left as awaiting; whether there is any.
    pub fn count_work_left(&mut self, selection: &Selection) -> Result<bool, Error> {
        if self.0.is_empty() {
            return Ok(false);
        }
        let scope = selection.scope(self.0.keys().copied().collect());
        let read = |rows: &Rows| rows.each(|row| Some((rows.get::<i64>(row, 0)?, rows.get::<i64>(row, 1)?)));
        let left = sql::WORK_LEFT.run(&scope, read)?;
        for (service_id, count) in &left {
            self.of(*service_id).awaiting = *count;
        }
        Ok(!left.is_empty())
    }

    /// Whether a lock was freed or work was dealt with.
    pub fn any_done(&self) -> bool {
        self.0.values().any(Tally::is_of_something)
    }

    /// Records what the first half of a cleanup did: of the second half a process does that.
    pub fn record(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(|(service_id, tally)| tally.record(*service_id, tally.state(true)))
    }

    /// Records what a call did for single keys of services.
    pub fn record_keys(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(|(service_id, tally)| tally.record(*service_id, "key"))
    }

    pub fn remove(&mut self, service_id: i64) -> Option<Tally> {
        self.0.remove(&service_id)
    }
}
