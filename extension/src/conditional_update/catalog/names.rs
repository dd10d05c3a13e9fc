//! Names from the catalog, as SQL has them.

use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, c_char};

/// Copies a C string that a look-up allocated.
///
/// # Safety
/// `text` is a C string.
pub unsafe fn owned(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A name, in quotes if it needs them.
pub fn quoted(name: &CStr) -> String {
    // SAFETY: takes and returns C strings.
    unsafe { owned(pg_sys::quote_identifier(name.as_ptr())) }
}

/// The name of a relation, qualified and quoted, or its number if there is no such relation.
pub fn relation_name(oid: Oid) -> String {
    // SAFETY: catalog look-ups of a running transaction, which return C strings or null.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid));
        if name.is_null() || schema.is_null() {
            return oid.to_u32().to_string();
        }
        owned(pg_sys::quote_qualified_identifier(schema, name))
    }
}

/// The name of a type, with its schema, as a cast takes it.
pub fn type_name(type_oid: Oid) -> String {
    // With the flag and no typmod the name is `bpchar`, not `character`, which would cut to one character.
    const FLAGS: u32 = pg_sys::FORMAT_TYPE_FORCE_QUALIFY | pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN;
    // SAFETY: returns a C string for every type.
    unsafe { owned(pg_sys::format_type_extended(type_oid, -1, FLAGS as u16)) }
}

/// How many letters apart two names are, unless that is more than `at_most`.
pub fn distance(a: &str, b: &str, at_most: i32) -> Option<i32> {
    /// The limit of varstr_levenshtein_less_equal, which no name of a column reaches.
    const LONGEST: usize = 255;
    if a.len() > LONGEST {
        return None;
    }
    let lengths = (a.len() as i32, b.len() as i32);
    let (a, b) = (a.as_ptr().cast(), b.as_ptr().cast());
    // SAFETY: two texts with their lengths in bytes. Each change of a letter costs 1.
    let distance = unsafe { pg_sys::varstr_levenshtein_less_equal(a, lengths.0, b, lengths.1, 1, 1, 1, at_most, true) };
    (distance <= at_most).then_some(distance)
}
