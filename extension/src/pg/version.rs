//! The version of the library and that of the extension's SQL objects, which must be the same.
//!
//! A package of the operating system brings a new library, and ALTER EXTENSION the new objects. In between the library
//! would pass arguments that the objects don't declare.

use super::catch::{catching, raw};
use super::error::Error;
use super::invalidation;
use crate::sabotage::{self, Guard};
use pgrx::FromDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

const LIBRARY: &str = env!("CARGO_PKG_VERSION");

thread_local! {
    /// The generation of the catalog in which the versions were compared.
    static COMPARED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Whether the server has loaded this library when it started: all its processes have it then, until it starts again.
static PRELOADED: AtomicBool = AtomicBool::new(false);

/// Notes how the library is loaded.
pub fn register() {
    // SAFETY: a plain variable of the server.
    PRELOADED.store(unsafe { pg_sys::process_shared_preload_libraries_in_progress }, Ordering::Relaxed);
}

/// Refuses objects of another version. Looks once a backend, and again when the catalog has changed: an update of the
/// extension may change any object.
///
/// The script of an update asks each time, by a call that does nothing: objects that are newer than the library are
/// refused before they are committed. There an older version is one on the way.
pub fn check() -> Result<(), Error> {
    let generation = invalidation::generation();
    // SAFETY: a plain variable of the backend.
    let is_script = unsafe { pg_sys::creating_extension };
    if COMPARED.get() == Some(generation) && !is_script || sabotage::removed(Guard::SameVersion) {
        return Ok(());
    }
    // Without the extension each verb says so by itself.
    let Some(objects) = of_the_objects()? else {
        return Ok(());
    };
    let is_older = numbers(&objects) < numbers(LIBRARY);
    if is_script && is_older {
        return Ok(());
    }
    if objects != LIBRARY {
        return Err(Error::Unsupported {
            what: format!("the library is volguard {LIBRARY}, the extension in this database is {objects}"),
            hint: match is_older {
                true => "Run ALTER EXTENSION volguard UPDATE in this database.",
                false if PRELOADED.load(Ordering::Relaxed) => {
                    "Install the library of that version on the server, and restart it: shared_preload_libraries loads \
                     volguard when the server starts."
                }
                false => "Install the library of that version on the server, and connect again.",
            },
        });
    }
    COMPARED.set(Some(generation));
    Ok(())
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// `pg_extension` has no cache that all versions of Postgres know.
fn of_the_objects() -> Result<Option<String>, Error> {
    let share = pg_sys::AccessShareLock as i32;
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: a catalog scan in a running transaction, with its own index; the version is copied before the row is
    // given back. The closures own nothing, and what an error leaves open is closed by the abort.
    let version = unsafe {
        catching(|| {
            raw::ScanKeyEntryInitialize(
                &mut key,
                0,
                pg_sys::Anum_pg_extension_extname as i16,
                pg_sys::BTEqualStrategyNumber as u16,
                Oid::INVALID,
                pg_sys::C_COLLATION_OID,
                Oid::from(pg_sys::F_NAMEEQ),
                Datum::from(c"volguard".as_ptr()),
            );
            let table = raw::table_open(pg_sys::ExtensionRelationId, share);
            let index = Oid::from(pg_sys::ExtensionNameIndexId);
            let scan = raw::systable_beginscan(table, index, true, std::ptr::null_mut(), 1, &mut key);
            let row = raw::systable_getnext(scan);
            let version = (!row.is_null()).then(|| {
                let count = (*(*table).rd_att).natts as usize;
                let values = raw::palloc(count * size_of::<Datum>()).cast::<Datum>();
                let nulls = raw::palloc(count * size_of::<bool>()).cast::<bool>();
                raw::heap_deform_tuple(raw::heap_copytuple(row), (*table).rd_att, values, nulls);
                *values.add(pg_sys::Anum_pg_extension_extversion as usize - 1)
            });
            raw::systable_endscan(scan);
            raw::relation_close(table, share);
            version
        })?
    };
    // SAFETY: a text, which is never NULL there, in a copy of the row.
    Ok(version.and_then(|version| unsafe { String::from_datum(version, false) }))
}
