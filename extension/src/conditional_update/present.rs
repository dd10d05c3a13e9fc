//! A row as it is, read by a statement of its own: by its key, or behind the update that has returned it.

use super::cache::plan;
use super::catalog::identity::Identity;
use super::catalog::operators::{Operator, base_type};
use super::catalog::side_effects::SideEffects;
use super::catalog::table::Table;
use super::grammar::{Columns, Scalar};
use super::outcome::UpdatedRow;
use super::sql::condition::no_equality;
use super::sql::writer::Writer;
use super::update::only_row;
use crate::input::document::Path;
use crate::pg::error::Error;
use crate::pg::spi::Rows;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{Datum, Oid, TimestampTz};

/// `None` if no row has the key, or none that the caller may see.
pub fn row(target: Oid, key: &Columns<Scalar>, now: TimestampTz) -> Result<Option<UpdatedRow>, Error> {
    let table = Table::open_or_view(target)?;
    let mut writer = Writer::new(&table, now);
    writer.push("SELECT target.* FROM ").push_target();
    let (condition, _) = writer.key(writer.target, key, &Path::root("key"))?;
    writer.push(" WHERE ").push(&condition).push(" LIMIT 2");
    plan::run(&writer.finish(), |rows| only_row(rows, target))?
}

/// A row that an update has returned, and what finds it again.
#[derive(Debug)]
pub struct Returned {
    row: UpdatedRow,
    identity: Option<Vec<Datum>>,
}

impl Returned {
    /// The row of an update that returns one row or none.
    pub fn only(rows: &Rows, target: Oid, side_effects: &SideEffects) -> Result<Option<Self>, Error> {
        let row = only_row(rows, target)?;
        let identity = || side_effects.identity.as_ref()?.values(rows);
        Ok(row.map(|row| Returned { row, identity: identity() }))
    }

    /// The row as AFTER triggers have left it: they run behind the statement's RETURNING. Work is about the row of an
    /// id, so there `id` finds it.
    ///
    /// The row as it was returned if a trigger has removed it or changed what it is found by, and if there is nothing
    /// that tells it from other rows.
    pub fn after_triggers(
        self,
        target: Oid,
        side_effects: &SideEffects,
        id: Option<&Columns<Scalar>>,
        now: TimestampTz,
    ) -> Result<UpdatedRow, Error> {
        if !side_effects.afterwards || sabotage::removed(Guard::AfterTriggers) {
            return Ok(self.row);
        }
        let found = match (id, &side_effects.identity, &self.identity) {
            (Some(id), _, _) => row(target, id, now),
            (None, Some(identity), Some(values)) => row_with(target, identity, values, now),
            _ => Ok(None),
        };
        match found {
            Ok(found) => Ok(found.unwrap_or(self.row)),
            Err(Error::Ambiguous { .. }) => Ok(self.row),
            Err(other) => Err(other),
        }
    }
}

/// The row with these values of the identity's columns.
fn row_with(target: Oid, identity: &Identity, values: &[Datum], now: TimestampTz) -> Result<Option<UpdatedRow>, Error> {
    let path = Path::root("target");
    let table = Table::open_or_view(target)?;
    let mut writer = Writer::new(&table, now);
    writer.push("SELECT target.* FROM ").push_target().push(" WHERE ");
    for (at, (column, value)) in identity.columns.iter().zip(values).enumerate() {
        let type_oid = base_type(column.type_oid);
        let equality = Operator::equality(type_oid).ok_or_else(|| no_equality(type_oid, &path))?;
        let value = writer.given(*value, type_oid, &path);
        let is_equal = equality.compare(&writer.target.column(column), &value);
        writer.push(if at > 0 { " AND " } else { "" }).push(&is_equal);
    }
    plan::run(&writer.finish(), |rows| only_row(rows, target))?
}
