//! What a cleanup did, by service.

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
}

/// The services that something was done for, or that have work which waits.
#[derive(Debug, Default)]
pub struct Tallies(BTreeMap<i64, Tally>);

impl Tallies {
    /// The tally of a service; naming it makes one.
    pub fn of(&mut self, service_id: i64) -> &mut Tally {
        self.0.entry(service_id).or_default()
    }

    pub fn remove(&mut self, service_id: i64) -> Option<Tally> {
        self.0.remove(&service_id)
    }
}
