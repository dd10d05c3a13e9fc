//! What a request has got.

use crate::{Error, UpdatedRow};
use tokio_postgres::Row;

/// The outcome of a request to start or to submit work. Only [`Started`](WorkOutcome::Started) has changed anything.
#[derive(Debug)]
#[must_use = "a refusal is an outcome, not an error"]
#[non_exhaustive]
pub enum WorkOutcome<W> {
    /// The row is changed, and the lock held: by this service, or by work that waits for one.
    Started(W),
    /// The row is not as expected. Lists all columns whose condition fails, then `filter` if the filter doesn't hold.
    Unmet(Vec<String>),
    /// The resource has no row, or none that the role may see.
    NotFound,
    /// The lock, the resource's work slot, or its row was not free in time.
    Locked,
}

impl<W> WorkOutcome<W> {
    /// The work, if it was started.
    pub fn started(self) -> Option<W> {
        match self {
            WorkOutcome::Started(work) => Some(work),
            _ => None,
        }
    }

    pub(crate) fn map<V>(self, work: impl FnOnce(W) -> V) -> WorkOutcome<V> {
        match self {
            WorkOutcome::Started(started) => WorkOutcome::Started(work(started)),
            WorkOutcome::Unmet(names) => WorkOutcome::Unmet(names),
            WorkOutcome::NotFound => WorkOutcome::NotFound,
            WorkOutcome::Locked => WorkOutcome::Locked,
        }
    }
}

impl WorkOutcome<(i64, UpdatedRow)> {
    /// Reads a `work_result`.
    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        Ok(match (row.try_get("token")?, row.try_get("outcome")?) {
            (Some(token), _) => WorkOutcome::Started((token, UpdatedRow::read(row)?)),
            (None, "unmet") => WorkOutcome::Unmet(row.try_get("unmet")?),
            (None, "not_found") => WorkOutcome::NotFound,
            (None, _) => WorkOutcome::Locked,
        })
    }
}
