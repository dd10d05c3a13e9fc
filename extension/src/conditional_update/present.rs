//! The row of a key as it is, read by a statement of its own.

use super::cache::plan;
use super::catalog::table::Table;
use super::grammar::{Columns, Literal, Scalar, Value};
use super::outcome::UpdatedRow;
use super::sql::writer::Writer;
use super::update::only_row;
use crate::input::document::Path;
use crate::input::jsonb::{Stored, number_text};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{Oid, TimestampTz};

/// `None` if no row has the key, or none that the caller may see.
pub fn row(target: Oid, key: &Columns<Scalar>, now: TimestampTz) -> Result<Option<UpdatedRow>, Error> {
    let table = Table::open_or_view(target)?;
    let mut writer = Writer::new(&table, now);
    writer.push("SELECT target.* FROM ").push_target();
    let (condition, _) = writer.key(writer.target, key, &Path::root("key"))?;
    writer.push(" WHERE ").push(&condition).push(" LIMIT 2");
    plan::run(&writer.finish(), |rows| only_row(rows, target))?
}

/// The row that an update has returned, as AFTER triggers have left it: they run behind the statement's RETURNING. The
/// columns of the key are named by `key`, and have the values of the row, which the update may have changed.
///
/// The row as it was returned if a trigger has removed it, or changed what it is found by.
pub fn after_triggers(
    target: Oid,
    key: &Columns<Scalar>,
    updated: UpdatedRow,
    now: TimestampTz,
) -> Result<UpdatedRow, Error> {
    if sabotage::removed(Guard::AfterTriggers) {
        return Ok(updated);
    }
    let mut found_by = Columns::with_capacity(key.len());
    for (column, _) in key {
        let value = match updated.member(column) {
            Some(Stored::Null) => None,
            Some(Stored::Boolean(value)) => Some(Value::Boolean(value)),
            Some(Stored::Text(text)) => Some(Value::Text(String::from_utf8_lossy(text).into_owned())),
            Some(Stored::Number(number)) => Some(Value::Number(number_text(number).to_string_lossy().into_owned())),
            // A list or an object is no scalar, so it can't be in a key; a view may not have the column any more.
            Some(Stored::Composed(_)) | None => return Ok(updated),
        };
        found_by.push((column.clone(), value.map(|value| Literal::new(value, None))));
    }
    match row(target, &found_by, now) {
        Ok(row) => Ok(row.unwrap_or(updated)),
        Err(Error::Ambiguous { .. }) => Ok(updated),
        Err(other) => Err(other),
    }
}
