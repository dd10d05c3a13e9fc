//! What is said about work that couldn't be repaired.

use super::work::Kind;
use crate::pg::error::Error;
use crate::store::events;

/// As many warnings a kind; how many more there would be is told in one.
const MOST_WARNINGS: usize = 20;

/// The failures of one crash rule in one cleanup.
pub struct Failures<'k> {
    kind: &'k Kind,
    reported: usize,
}

impl<'k> Failures<'k> {
    pub fn of(kind: &'k Kind) -> Self {
        Failures { kind, reported: 0 }
    }

    /// The rule failed on one resource.
    pub fn report(&mut self, resource_id: &str, error: &Error) -> Result<(), Error> {
        self.reported += 1;
        if self.reported <= MOST_WARNINGS {
            self.warn(&format!("{resource_id}: {error}"));
        }
        self.record(resource_id, error)
    }

    /// The rule failed, whatever the resource.
    pub fn report_all(&self, resource_id: &str, others: usize, error: &Error) -> Result<(), Error> {
        match others {
            0 => self.warn(&format!("{resource_id}: {error}")),
            others => self.warn(&format!("{resource_id} and {others} more: {error}")),
        }
        self.record(resource_id, error)
    }

    fn record(&self, resource_id: &str, error: &Error) -> Result<(), Error> {
        let Kind {
            resource_type,
            status,
        } = self.kind;
        events::record_failure(resource_type, resource_id, status, error)
    }

    pub fn finish(self) {
        if let Some(more) = self.reported.checked_sub(MOST_WARNINGS)
            && more > 0
        {
            self.warn(&format!("{more} more"));
        }
    }

    fn warn(&self, what: &str) {
        let Kind {
            resource_type,
            status,
        } = self.kind;
        pgrx::warning!(
            "volguard: the crash rule of {resource_type} in status {status} failed on {what}"
        );
    }
}
