//! The oids of our own tables and their indexes, and the numbers of their columns, for access without a statement. They
//! are kept for one generation of the catalog.

use super::columns::Columns;
use super::indexes::{Entries, usable};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::invalidation::generation;
use crate::pg::{owner, syscache, version};
use pgrx::pg_sys::{
    self, INT8OID, INTERVALOID, NAMEOID, Oid, REGCLASSOID, REGTYPEOID, SysCacheIdentifier, TEXTOID, TIMESTAMPTZOID,
};
use std::cell::Cell;
use std::ffi::CStr;
use std::thread::LocalKey;

thread_local! {
    static TABLES: Cell<Kept<Tables>> = const { Cell::new(None) };
}

/// What was found, in one generation of the catalog.
pub type Kept<T> = Option<(u64, T)>;

/// volguard's tables in one generation of the catalog, some of them locked for a read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tables {
    pub services: Oid,
    pub services_key: Oid,
    /// service_id, fenced_at, heartbeat_at, lease
    pub service_columns: [i16; 4],
    /// cluster, registered_by, host
    pub registration_columns: [i16; 3],
    pub workers: Oid,
    /// A rewrite of the table, by VACUUM FULL or CLUSTER, begins a new one: then a row that was found before has
    /// another place.
    pub workers_file: Oid,
    pub workers_key: Oid,
    pub work_key: Oid,
    pub token_key: Oid,
    pub workers_of_service: Oid,
    pub columns: Columns,
    pub resources: Oid,
    pub resources_key: Oid,
    /// resource_type, target, id_column, status_column, id_type
    pub resource_columns: [i16; 5],
    pub crash_rules: Oid,
    pub crash_rules_key: Oid,
    /// resource_type, status
    pub rule_columns: [i16; 2],
    /// Not locked.
    pub events: Oid,
    pub events_key: Oid,
    pub event_id: i16,
    /// The sequence that tokens and ids are drawn from.
    pub clock: Oid,
}

impl Tables {
    /// Locks the two tables, as a statement that reads them does.
    pub fn open() -> Result<Self, Error> {
        Self::open_locking(|tables| [tables.services, tables.workers])
    }

    /// Locks the table of tracked resources alone.
    pub fn open_resources() -> Result<Self, Error> {
        Self::open_locking(|tables| [tables.resources])
    }

    /// Locks the tables of tracked resources and their crash rules instead.
    pub fn open_rules() -> Result<Self, Error> {
        Self::open_locking(|tables| [tables.resources, tables.crash_rules])
    }

    fn open_locking<const N: usize>(which: impl Fn(&Self) -> [Oid; N]) -> Result<Self, Error> {
        kept(&TABLES, Tables::look_up, which)
    }

    fn look_up() -> Result<Self, Error> {
        // A call that has slept through an update of the extension must not go on with the new objects.
        version::check()?;
        let [services, workers, events] = [table(c"services")?, table(c"workers")?, table(c"events")?];
        let (resources, crash_rules) = (table(c"resources")?, table(c"crash_rules")?);
        let of_services = |name, type_oid| column(services, name, type_oid);
        let of_resources = |name, type_oid| column(resources, name, type_oid);
        let service_columns = [
            of_services(c"service_id", INT8OID)?,
            of_services(c"fenced_at", TIMESTAMPTZOID)?,
            of_services(c"heartbeat_at", TIMESTAMPTZOID)?,
            of_services(c"lease", INTERVALOID)?,
        ];
        let columns = Columns::of(workers)?;
        let resource_columns = [
            of_resources(c"resource_type", TEXTOID)?,
            of_resources(c"target", REGCLASSOID)?,
            of_resources(c"id_column", NAMEOID)?,
            of_resources(c"status_column", NAMEOID)?,
            of_resources(c"id_type", REGTYPEOID)?,
        ];
        let file = |class: &pg_sys::FormData_pg_class| class.relfilenode;
        let event_id = column(events, c"event_id", INT8OID)?;
        let rule_columns = [column(crash_rules, c"resource_type", TEXTOID)?, column(crash_rules, c"status", TEXTOID)?];
        Ok(Tables {
            services,
            services_key: usable(c"services_pkey", services, &service_columns[..1], Entries::All),
            service_columns,
            registration_columns: [
                of_services(c"cluster", TEXTOID)?,
                of_services(c"registered_by", NAMEOID)?,
                of_services(c"host", TEXTOID)?,
            ],
            workers,
            // SAFETY: the cache of pg_class.
            workers_file: unsafe { syscache::row(SysCacheIdentifier::RELOID, workers, file) }
                .ok_or(Error::NotInstalled)?,
            workers_key: usable(c"workers_pkey", workers, &columns.key, Entries::All),
            work_key: usable(c"workers_work_key", workers, &columns.key[..2], Entries::Some),
            token_key: usable(c"workers_token_key", workers, &[columns.token], Entries::All),
            workers_of_service: usable(c"workers_service_id_idx", workers, &[columns.service_id], Entries::Some),
            columns,
            events,
            events_key: usable(c"events_pkey", events, &[event_id], Entries::All),
            event_id,
            resources,
            resources_key: usable(c"resources_pkey", resources, &resource_columns[..1], Entries::All),
            resource_columns,
            crash_rules,
            crash_rules_key: usable(c"crash_rules_pkey", crash_rules, &rule_columns, Entries::All),
            rule_columns,
            clock: relation(c"clock", pg_sys::RELKIND_SEQUENCE)?,
        })
    }
}

/// What was looked up in this generation of the catalog, or is now. Its tables are locked, as by a statement that reads
/// them.
pub fn kept<T: Copy + PartialEq, const N: usize>(
    kept: &'static LocalKey<Cell<Kept<T>>>,
    look_up: impl Fn() -> Result<T, Error>,
    tables: impl Fn(&T) -> [Oid; N],
) -> Result<T, Error> {
    let look_up = || {
        let generation = generation();
        Ok::<_, Error>((generation, look_up()?))
    };
    let (mut of_generation, mut found) = kept.get().map_or_else(look_up, Ok)?;
    loop {
        lock(tables(&found))?;
        if of_generation == generation() {
            kept.set(Some((of_generation, found)));
            return Ok(found);
        }
        // What was found before the lock is found again after it, or has changed meanwhile.
        let again = look_up()?;
        if again.1 == found {
            kept.set(Some(again));
            return Ok(found);
        }
        (of_generation, found) = again;
    }
}

/// One of our tables. It is read and written without a statement, which would check what it finds.
pub fn table(name: &CStr) -> Result<Oid, Error> {
    relation(name, pg_sys::RELKIND_RELATION)
}

fn relation(name: &CStr, kind: u8) -> Result<Oid, Error> {
    let relation = owner::relation(name).ok_or(Error::NotInstalled)?;
    // SAFETY: catalog lookups of a running transaction.
    let (found, persistence) =
        unsafe { (pg_sys::get_rel_relkind(relation) as u8, pg_sys::get_rel_persistence(relation) as u8) };
    // A table that is not logged is empty after a crash.
    match found == kind && persistence == pg_sys::RELPERSISTENCE_PERMANENT {
        true => Ok(relation),
        false => Err(altered(format!("volguard.{} is something else than volguard made", name.to_string_lossy()))),
    }
}

/// The number of a column of one of our tables, which must be of this type.
pub fn column(table: Oid, name: &CStr, type_oid: Oid) -> Result<i16, Error> {
    // SAFETY: catalog lookups of a running transaction.
    let (number, found) = unsafe {
        let number = pg_sys::get_attnum(table, name.as_ptr());
        (number, if number > 0 { pg_sys::get_atttype(table, number) } else { Oid::INVALID })
    };
    match found == type_oid {
        true => Ok(number),
        false => Err(altered(format!(
            "the column {} of a table of volguard is not there as volguard made it",
            name.to_string_lossy()
        ))),
    }
}

fn altered(what: String) -> Error {
    Error::Unsupported { what, hint: "Undo what was altered in the schema volguard: its tables are volguard's alone." }
}

fn lock<const N: usize>(tables: [Oid; N]) -> Result<(), Error> {
    let share = pg_sys::AccessShareLock as i32;
    // SAFETY: locks by the tables' oids; the closure owns nothing.
    unsafe {
        catching(|| {
            for table in tables {
                raw::LockRelationOid(table, share);
            }
        })
    }
}
