//! What came of an update, and its form in SQL: `volguard.update_result`.

use crate::error::Error;
use pgrx::pg_sys::{self, Datum, FunctionCallInfo, Oid};
use pgrx::{FromDatum, IntoDatum};

#[derive(Debug)]
pub enum Outcome {
    /// With the whole new row.
    Updated(Row),
    /// With the columns whose conditions failed, all of them.
    Unmet(Vec<String>),
    NotFound,
    Fenced,
}

/// A row as `jsonb`, in the memory of whoever called us.
#[derive(Clone, Copy, Debug)]
pub struct Row(Datum);

impl FromDatum for Row {
    unsafe fn from_polymorphic_datum(datum: Datum, is_null: bool, _type_oid: Oid) -> Option<Self> {
        // SAFETY: read from a statement's rows, while SPI is connected, a varlena like every jsonb.
        (!is_null).then(|| Row(unsafe { pg_sys::SPI_datumTransfer(datum, false, -1) }))
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

    /// The tuple `(outcome, updated, row, unmet)`.
    ///
    /// # Safety
    /// `fcinfo` is that of a running function that is declared to return `volguard.update_result`.
    pub unsafe fn into_tuple(self, fcinfo: FunctionCallInfo) -> Result<Datum, Error> {
        let name = self.name();
        let (row, unmet) = match self {
            Outcome::Updated(row) => (Some(row), Vec::new()),
            Outcome::Unmet(columns) => (None, columns),
            Outcome::NotFound | Outcome::Fenced => (None, Vec::new()),
        };
        let fields = [
            name.into_datum(),
            i64::from(row.is_some()).into_datum(),
            row.map(|Row(datum)| datum),
            text_array(unmet),
        ];
        let mut values = fields.map(|field| field.unwrap_or(Datum::null()));
        let mut nulls = fields.map(|field| field.is_none());
        // SAFETY: the caller's promise; the declared type is looked up by its Oid, so no search_path plays a part, and
        // has the four fields. Its descriptor belongs to the type cache and is given back.
        unsafe {
            let declared = pg_sys::get_func_rettype((*(*fcinfo).flinfo).fn_oid);
            let descriptor = pg_sys::lookup_rowtype_tupdesc(declared, -1);
            let tuple =
                pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::DecrTupleDescRefCount(descriptor);
            Ok(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data))
        }
    }
}

/// Nearly always an empty one, for which pgrx would set up a memory context.
fn text_array(texts: Vec<String>) -> Option<Datum> {
    match texts.is_empty() {
        // SAFETY: makes a value in the current memory context.
        true => Some(Datum::from(unsafe {
            pg_sys::construct_empty_array(pg_sys::TEXTOID)
        })),
        false => texts.into_datum(),
    }
}
