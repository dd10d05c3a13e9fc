//! A DROP EXTENSION while locks are held warns: programs still work under them, and nothing keeps others away any more.
//!
//! Postgres tells a library what is being dropped. So a session warns that has loaded ours: every session where it is
//! preloaded, otherwise one that has called a function of volguard. An event trigger would know of each session, but
//! would run at every DROP of the database.

use crate::pg::{log, owner};
use pgrx::pg_sys::{self, ObjectAccessType, Oid};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// The hook of a library that was loaded before.
static EARLIER: OnceLock<pg_sys::object_access_hook_type> = OnceLock::new();

/// Hooks the end of objects, once a process.
pub fn register() {
    // SAFETY: Postgres loads a library in the one thread of a process.
    unsafe {
        EARLIER.get_or_init(|| pg_sys::object_access_hook);
        pg_sys::object_access_hook = Some(on_access);
    }
}

/// # Safety
/// Called by Postgres before it drops an object, among others, in a transaction.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_access(
    access: ObjectAccessType::Type,
    class: Oid,
    object: Oid,
    part: c_int,
    details: *mut c_void,
) {
    if let Some(Some(earlier)) = EARLIER.get() {
        // SAFETY: what Postgres has passed.
        unsafe { earlier(access, class, object, part, details) };
    }
    let drops_table = access == ObjectAccessType::OAT_DROP && class == pg_sys::RelationRelationId && part == 0;
    if drops_table && owner::relation(c"workers") == Some(object) && is_member(object) {
        warn(locks(object));
    }
}

/// Whether a table belongs to the extension; a schema of volguard's name may be any role's.
fn is_member(table: Oid) -> bool {
    // SAFETY: catalog lookups of a running transaction.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"volguard".as_ptr(), true);
        extension != Oid::INVALID && pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, table) == extension
    }
}

/// How many rows `workers` has. Its indexes are gone by now, so no statement is planned.
fn locks(workers: Oid) -> u64 {
    // SAFETY: the transaction has locked the table to drop it. What is opened here is closed here.
    unsafe {
        let relation = pg_sys::table_open(workers, pg_sys::NoLock as i32);
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let scan = pg_sys::systable_beginscan(relation, Oid::INVALID, false, snapshot, 0, ptr::null_mut());
        let mut rows = 0;
        while !pg_sys::systable_getnext(scan).is_null() {
            rows += 1;
        }
        pg_sys::systable_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        rows
    }
}

fn warn(locks: u64) {
    if locks > 0 {
        log::warning(
            &format!("the extension is dropped while locks or work are held: {locks}"),
            Some("Programs may still work under them, and nothing keeps others away. Roll back if that is not meant."),
        );
    }
}
