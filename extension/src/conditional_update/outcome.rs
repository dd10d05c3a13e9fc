//! The outcome of an update, and its form in SQL: `volguard.update_result`.

use crate::input::jsonb::{Jsonb, Stored};
use crate::pg::error::Error;
use crate::pg::export::composite;
use crate::pg::row_json;
use crate::pg::spi::{Arg, Rows, arg};
use pgrx::pg_sys::{self, Datum, FunctionCallInfo, Oid};

#[derive(Debug)]
pub enum Outcome {
    /// With the whole new row.
    Updated(UpdatedRow),
    /// With all columns whose conditions failed.
    Unmet(Vec<String>),
    NotFound,
    Fenced,
}

/// The row after an update, as a `jsonb` in the caller's memory context.
#[derive(Clone, Copy, Debug)]
pub struct UpdatedRow(Datum);

impl UpdatedRow {
    /// The first of a statement's rows, which has the columns of the target.
    pub fn first(rows: &Rows, target: Oid) -> Result<Option<Self>, Error> {
        let json = row_json::first(rows, target)?;
        // SAFETY: a jsonb, a varlena, while SPI is connected.
        Ok(json.map(|json| UpdatedRow(unsafe { pg_sys::SPI_datumTransfer(json, false, -1) })))
    }

    /// The value of a scalar column, as text. `None` for NULL, lists and objects, and if there is no such column.
    pub fn text(self, column: &str) -> Option<String> {
        self.member(column)?.text()
    }

    pub fn member(&self, column: &str) -> Option<Stored<'_>> {
        let mut member = None;
        // SAFETY: a jsonb, in memory that lives as long as the call.
        unsafe { Jsonb::new(self.0) }.each_member(|name, stored| {
            if name == column.as_bytes() {
                member = Some(stored);
            }
        });
        member
    }
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Outcome::Updated(_) => "updated",
            Outcome::Unmet(_) => "unmet",
            Outcome::NotFound => "not_found",
            Outcome::Fenced => "fenced",
        }
    }

    /// outcome, new_row, unmet
    pub fn fields(self) -> [Arg; 3] {
        let name = arg(self.name());
        match self {
            Outcome::Updated(UpdatedRow(row)) => [name, Some(row), no_names()],
            Outcome::Unmet(columns) => [name, None, arg(columns)],
            Outcome::NotFound | Outcome::Fenced => [name, None, no_names()],
        }
    }

    /// The tuple `(outcome, updated, new_row, unmet)`.
    ///
    /// # Safety
    /// `fcinfo` is that of a running function that is declared to return `volguard.update_result`.
    pub unsafe fn into_tuple(self, fcinfo: FunctionCallInfo) -> Datum {
        let [name, row, unmet] = self.fields();
        let updated = arg(i64::from(row.is_some()));
        // SAFETY: the caller's promise.
        unsafe { composite(fcinfo, [name, updated, row, unmet]) }
    }
}

/// An empty `unmet`. It is not made by pgrx, which would set up a memory context each time.
pub fn no_names() -> Arg {
    // SAFETY: makes a value in the current memory context.
    Some(Datum::from(unsafe { pg_sys::construct_empty_array(pg_sys::TEXTOID) }))
}
