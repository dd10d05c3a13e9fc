//! The outcome of an update.

use serde::de::Error as _;
use tokio_postgres::Row;

use crate::error::Error;
use crate::row::UpdatedRow;

/// The outcome of a [`ConditionalUpdate`](crate::ConditionalUpdate). Only [`Updated`](UpdateOutcome::Updated) has
/// changed anything.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a refusal is an outcome, not an error"]
#[non_exhaustive]
pub enum UpdateOutcome {
    /// The row was changed; this is the new row.
    Updated(UpdatedRow),
    /// The row is not as expected. Lists all columns whose condition fails, then `filter` and `filter_sql` if those
    /// don't hold. All were checked together, under the row's lock.
    Unmet(Vec<String>),
    /// The key matches no row.
    NotFound,
    /// The lock that fences the update is not held.
    Fenced,
}

impl UpdateOutcome {
    /// Whether the row was changed.
    pub fn is_updated(&self) -> bool {
        matches!(self, UpdateOutcome::Updated(_))
    }

    /// The row, if it was changed.
    pub fn updated(self) -> Option<UpdatedRow> {
        match self {
            UpdateOutcome::Updated(row) => Some(row),
            _ => None,
        }
    }

    pub(crate) fn read(row: &Row) -> Result<UpdateOutcome, Error> {
        Ok(match row.try_get("outcome")? {
            "updated" => UpdateOutcome::Updated(UpdatedRow::read(row)?),
            "unmet" => UpdateOutcome::Unmet(row.try_get("unmet")?),
            "not_found" => UpdateOutcome::NotFound,
            "fenced" => UpdateOutcome::Fenced,
            other => return Err(serde_json::Error::custom(format!("unknown outcome `{other}`")).into()),
        })
    }
}
