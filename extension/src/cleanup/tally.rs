//! What a cleanup did, by service.

use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::store::events::{self, Event};
use crate::store::sql;
use serde_json::json;
use std::collections::BTreeMap;

/// What became of one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub locks_released: i64,
    pub resources_cleaned: i64,
    pub resources_stale: i64,
    pub awaiting: i64,
}

impl Tally {
    pub fn state(&self) -> &'static str {
        match self.awaiting {
            0 => "cleaned",
            _ => "unavailable",
        }
    }

    /// Records what was done. That something still waits is no event: the next cleanup will find the same.
    fn record(&self, service_id: i64) -> Result<(), Error> {
        if self.locks_released + self.resources_cleaned + self.resources_stale == 0 {
            return Ok(());
        }
        let cluster =
            sql::SERVICE_IDENTITY.run(&[arg(service_id)], |rows| rows.get::<String>(0, 0))?;
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

/// The services that something was done for, or that have work which waits.
#[derive(Debug, Default)]
pub struct Tallies(BTreeMap<i64, Tally>);

impl Tallies {
    /// The tally of a service; naming it makes one.
    pub fn of(&mut self, service_id: i64) -> &mut Tally {
        self.0.entry(service_id).or_default()
    }

    pub fn record(&self) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|(service_id, tally)| tally.record(*service_id))
    }

    pub fn remove(&mut self, service_id: i64) -> Option<Tally> {
        self.0.remove(&service_id)
    }
}
