//! Which columns tell a row from all others, so that it is found again behind the statement that has returned it.
//!
//! That is not the key of the call: the update may have changed it, and then an AFTER trigger may move the row on to
//! another value while another row has this one.

use super::table::{Column, Table};
use super::{unique, view};
use crate::input::document::Path;
use crate::pg::spi::Rows;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::Datum;

#[derive(Debug)]
pub struct Identity {
    /// The columns of a unique index, as the target has them.
    pub columns: Vec<Column>,
    /// Their places among the columns of the target that are not dropped, from 0.
    places: Vec<usize>,
}

impl Identity {
    /// Of a row of the table, or behind the view. `changed` are the names of the columns that the update sets.
    ///
    /// An index of which no column can be NULL is better, then one that the update leaves alone, then the primary key.
    pub fn of<'n>(target: &Table, changed: impl Iterator<Item = &'n str>) -> Option<Self> {
        let changed: Vec<i16> = changed.filter_map(|name| Some(target.find(name)?.number)).collect();
        let keys = match target.is_view() {
            true => through(target),
            false => unique::keys(target),
        };
        let rank = |(is_primary, columns): &(bool, Vec<Column>)| {
            let nullable = columns.iter().any(|column| column.nullable);
            (nullable, columns.iter().any(|column| changed.contains(&column.number)), !is_primary)
        };
        let is_changed = |column: &Column| changed.contains(&column.number);
        let columns = match sabotage::removed(Guard::Identity) {
            false => keys.into_iter().min_by_key(rank)?.1,
            true => target.columns().into_iter().filter(is_changed).collect(),
        };
        let all: Vec<i16> = target.columns().iter().map(|column| column.number).collect();
        let place = |column: &Column| all.iter().position(|number| *number == column.number);
        let places = columns.iter().map(place).collect::<Option<_>>()?;
        Some(Identity { columns, places })
    }

    /// The values that the first row has. `None` if one is NULL: then others may have the same.
    pub fn values(&self, rows: &Rows) -> Option<Vec<Datum>> {
        self.places.iter().map(|place| rows.kept(0, *place)).collect()
    }
}

/// The keys of the table behind a view, where the view has all their columns.
fn through(view: &Table) -> Vec<(bool, Vec<Column>)> {
    let Some((behind, numbers)) = view::columns_behind(view.relation()) else {
        return Vec::new();
    };
    let Ok(table) = Table::open_to_read(behind, &Path::root("target")) else {
        return Vec::new();
    };
    let of_view = |column: Column| {
        let (number, _) = numbers.iter().find(|(_, behind)| *behind == column.number)?;
        Some(Column { nullable: column.nullable, ..view.column_at(*number)? })
    };
    let keys = unique::keys(&table).into_iter();
    keys.filter_map(|(is_primary, columns)| {
        let columns: Option<_> = columns.into_iter().map(of_view).collect();
        Some((is_primary, columns?))
    })
    .collect()
}
