//! The outcome of an update.

use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use tokio_postgres::Row;

use crate::error::Error;

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
            other => {
                let unknown = format!("unknown outcome `{other}`");
                return Err(Error::Deserialize(serde_json::Error::custom(unknown)));
            }
        })
    }
}

/// A row after its update, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdatedRow(Value);

impl UpdatedRow {
    /// No row.
    pub(crate) const NONE: UpdatedRow = UpdatedRow(Value::Null);

    /// Reads the row. It is `null` if there is none, as for work that was started before on a row that is gone by now.
    pub(crate) fn read(row: &Row) -> Result<UpdatedRow, tokio_postgres::Error> {
        let json: Option<Value> = row.try_get("new_row")?;
        Ok(json.map_or(UpdatedRow::NONE, UpdatedRow))
    }

    /// One column.
    ///
    /// # Errors
    /// [`Error::Deserialize`] if there is no such column or it doesn't fit the type.
    pub fn get<T: DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        match self.0.get(column) {
            Some(value) => Ok(T::deserialize(value)?),
            None => Err(Error::Deserialize(serde_json::Error::custom(format!("the row has no column `{column}`")))),
        }
    }

    /// The whole row.
    ///
    /// # Errors
    /// [`Error::Deserialize`] if it doesn't fit the type.
    pub fn deserialize<T: DeserializeOwned>(self) -> Result<T, Error> {
        Ok(serde_json::from_value(self.0)?)
    }

    /// The row as JSON.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// The row as JSON, to keep.
    pub fn into_json(self) -> Value {
        self.0
    }
}
