//! The warnings about work that couldn't be repaired, and the events that record it.

use super::kind::{WorkItem, WorkKind};
use crate::pg::error::Error;
use crate::store::events;

/// Warnings for one kind of work; one more tells how many are left out.
const MOST_WARNINGS: usize = 20;

/// The failures of one crash rule in one call.
pub struct Failures<'k> {
    kind: &'k WorkKind,
    reported: usize,
}

impl<'k> Failures<'k> {
    pub fn of(kind: &'k WorkKind) -> Self {
        Failures { kind, reported: 0 }
    }

    /// The rule failed, for one reason, on these resources.
    pub fn report(&mut self, items: &[WorkItem], error: &Error) -> Result<(), Error> {
        let [first, others @ ..] = items else {
            return Ok(());
        };
        let id = &first.resource_id;
        self.reported += 1;
        match others.len() {
            _ if self.reported > MOST_WARNINGS => {}
            0 => self.warn(&format!("{id}: {error}")),
            others => self.warn(&format!("{id} and {others} more: {error}")),
        }
        events::record_failure(&self.kind.resource_type, id, &self.kind.status, error)
    }

    pub fn finish(self) {
        let more = self.reported.saturating_sub(MOST_WARNINGS);
        if more > 0 {
            self.warn(&format!("{more} more"));
        }
    }

    fn warn(&self, what: &str) {
        let (resource_type, status) = (&self.kind.resource_type, &self.kind.status);
        pgrx::warning!("volguard: the crash rule of {resource_type} in status {status} failed on {what}");
    }
}
