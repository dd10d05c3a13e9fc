//! Our indexes, if they can be relied on. They are known by their names, and a table is searched where one can't be.

use crate::pg::{owner, syscache};
use pgrx::pg_sys::{self, FormData_pg_class, FormData_pg_index, Oid, SysCacheIdentifier};
use std::ffi::CStr;

/// The rows that an index has an entry for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    All,
    /// Those that its predicate holds for.
    Some,
}

/// The btree of this name, if it is one of the table that begins with these columns and has these entries. One that a
/// failed CREATE INDEX or REINDEX left behind may lack some, and an administrator may have made another of its name.
pub fn usable(name: &CStr, table: Oid, columns: &[i16], entries: Entries) -> Oid {
    let Some(index) = owner::relation(name) else {
        return Oid::INVALID;
    };
    let is_sound = |index: &FormData_pg_index| {
        let keys = usize::try_from(index.indnkeyatts).unwrap_or(0);
        // SAFETY: the vector has an element per column of the index.
        let numbers = unsafe { index.indkey.values.as_slice(keys) };
        index.indisvalid
            && index.indisready
            && index.indislive
            && index.indrelid == table
            && numbers.starts_with(columns)
    };
    let is_btree = |class: &FormData_pg_class| class.relam == pg_sys::BTREE_AM_OID;
    // SAFETY: the caches of pg_index and pg_class.
    let sound = unsafe {
        syscache::row(SysCacheIdentifier::INDEXRELID, index, is_sound) == Some(true)
            && syscache::row(SysCacheIdentifier::RELOID, index, is_btree) == Some(true)
            && is_partial(index) == (entries == Entries::Some)
    };
    if sound { index } else { Oid::INVALID }
}

/// Has the index a predicate?
fn is_partial(index: Oid) -> bool {
    let (cache, column) = (SysCacheIdentifier::INDEXRELID as i32, pg_sys::Anum_pg_index_indpred as i16);
    let mut is_null = true;
    // SAFETY: a catalog lookup of a running transaction; the row is released, and its value not kept.
    unsafe {
        let row = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(index));
        if !row.is_null() {
            pg_sys::SysCacheGetAttr(cache, row, column, &mut is_null);
            pg_sys::ReleaseSysCache(row);
        }
    }
    !is_null
}
