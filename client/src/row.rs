//! A row as the server returns it after a change.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::error::Error;

/// A row after its update, as JSON text, which is also what is compared. It may be absent, see
/// [`is_null`](UpdatedRow::is_null).
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

    /// One column. A `Box<RawValue>` keeps every digit of a `numeric`, which an `f64` may not.
    /// [`Error::Deserialize`] if there is no such column or it doesn't fit the type.
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

    /// Whether there is no row: work that was started before, on a row that is gone by now.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }
}
