//! The outcome of an update, and its form in SQL: `volguard.update_result`.

use crate::input::jsonb::Jsonb;
use crate::pg::export::composite;
use crate::pg::spi::{Arg, arg};
use pgrx::FromDatum;
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

impl FromDatum for UpdatedRow {
    unsafe fn from_polymorphic_datum(datum: Datum, is_null: bool, _type_oid: Oid) -> Option<Self> {
        // SAFETY: read from a statement's rows, while SPI is connected, a varlena like every jsonb.
        (!is_null).then(|| UpdatedRow(unsafe { pg_sys::SPI_datumTransfer(datum, false, -1) }))
    }
}

impl UpdatedRow {
    /// The value of a scalar column, as text. `None` for NULL, lists and objects, and if there is no such column.
    pub fn text(self, column: &str) -> Option<String> {
        let mut text = None;
        // SAFETY: a jsonb, in memory that lives as long as the call.
        unsafe { Jsonb::new(self.0) }.each_member(|name, stored| {
            if name == column.as_bytes() {
                text = stored.text();
            }
        });
        text
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
