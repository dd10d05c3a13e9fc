//! The outcome of an update, and the row after it.

use crate::Error;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

/// The outcome of a [`ConditionalUpdate`](crate::ConditionalUpdate). Only [`Updated`](Self::Updated) is a change.
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

/// A row after its update, as JSON text, which is also what is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdatedRow(Option<Box<str>>);

impl UpdatedRow {
    /// No row.
    pub(crate) const NONE: UpdatedRow = UpdatedRow(None);

    /// Reads the column `new_row`, which is NULL if there is no row.
    pub(crate) fn read(row: &Row) -> Result<UpdatedRow, Error> {
        let row: Option<Json<Box<RawValue>>> = row.try_get("new_row")?;
        Ok(UpdatedRow(row.map(|row| row.0.into())))
    }

    /// One column. A `Box<RawValue>` keeps every digit of a `numeric`, which an `f64` may not. [`Error::Deserialize`]
    /// if there is no such column or it doesn't fit the type.
    pub fn get<T: DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        let columns: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(self.as_json())?;
        match columns.as_ref().and_then(|columns| columns.get(column)) {
            Some(value) => Ok(serde_json::from_str(value.get())?),
            None => Err(serde_json::Error::custom(format!("the row has no column `{column}`")).into()),
        }
    }

    /// The whole row. [`Error::Deserialize`] if it doesn't fit the type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_str(self.as_json())?)
    }

    /// The row as JSON text; `null` if there is no row.
    pub fn as_json(&self) -> &str {
        self.0.as_deref().unwrap_or("null")
    }
}
