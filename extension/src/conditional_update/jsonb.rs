//! From an argument to a document.

use super::document::{Members, Path};
use crate::error::Error;
use pgrx::pg_sys::{self, Datum};
use std::ffi::CStr;
use std::ptr;

/// Reads a document that came as a `jsonb`. Not by pgrx's `JsonB`, to which a document that nests too deep is a panic.
///
/// # Safety
/// `datum` is a jsonb.
pub unsafe fn members(datum: Datum, argument: &str) -> Result<Members, Error> {
    let path = Path::root(argument);
    // SAFETY: the caller's promise; once it is detoasted it is in memory as a whole, and its text is a C string.
    let text = unsafe {
        let jsonb = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::Jsonb>();
        let length = pgrx::varsize(jsonb.cast()) as i32;
        CStr::from_ptr(pg_sys::JsonbToCString(
            ptr::null_mut(),
            &raw mut (*jsonb).root,
            length,
        ))
    };
    let text = text
        .to_str()
        .map_err(|error| path.fault(error.to_string(), "Use a database whose encoding is UTF8."))?;
    Ok(Members::parse(text, &path)?)
}
