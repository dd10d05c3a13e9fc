//! The oids of our own tables and their indexes, and the numbers of their columns, for access without a statement. They
//! are kept for one generation of the catalog.

use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::invalidation::{announced, generation};
use crate::pg::{owner, syscache};
use pgrx::pg_sys::{self, FormData_pg_index, Oid, SysCacheIdentifier};
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    static TABLES: Cell<Option<Tables>> = const { Cell::new(None) };
}

/// The tables `services` and `workers` in one generation of the catalog, locked for a read.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    generation: u64,
    pub services: Oid,
    pub services_key: Oid,
    /// service_id, fenced_at, heartbeat_at, lease
    pub service_columns: [i16; 4],
    pub workers: Oid,
    pub workers_key: Oid,
    pub work_key: Oid,
    pub token_key: Oid,
    pub columns: Columns,
    /// The sequence that tokens are drawn from.
    pub token_counter: Oid,
}

/// The numbers of the columns of `workers`.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// resource_id, resource_type, lock_name
    pub key: [i16; 3],
    pub cluster: i16,
    pub token: i16,
    pub service_id: i16,
    pub status: i16,
    pub request_id: i16,
    pub acquired_at: i16,
    pub updated_at: i16,
    pub details: i16,
    pub crashed_service_id: i16,
}

impl Tables {
    /// Locks the two tables, as a statement that reads them does.
    pub fn open() -> Result<Self, Error> {
        loop {
            let before = announced();
            let known = TABLES.get();
            let tables = known.map_or_else(Tables::look_up, Ok)?;
            tables.lock()?;
            let is_current = tables.generation == generation();
            TABLES.set(is_current.then_some(tables));
            // What was looked up now is right if no session has announced a change since, even if it can't be kept.
            if is_current || (known.is_none() && announced() == before) {
                return Ok(tables);
            }
        }
    }

    fn lock(&self) -> Result<(), Error> {
        let share = pg_sys::AccessShareLock as i32;
        // SAFETY: locks by the tables' oids; the closure owns nothing.
        unsafe {
            catching(|| {
                raw::LockRelationOid(self.services, share);
                raw::LockRelationOid(self.workers, share);
            })
        }
    }

    fn look_up() -> Result<Self, Error> {
        let generation = generation();
        let relation = |name: &CStr| owner::relation(name).ok_or(Error::NotInstalled);
        // Without a usable index the table is searched.
        let index = |name| usable(owner::relation(name)).unwrap_or(Oid::INVALID);
        // SAFETY: a catalog lookup of a running transaction.
        let column = |table, name: &CStr| unsafe { pg_sys::get_attnum(table, name.as_ptr()) };
        let (services, workers) = (relation(c"services")?, relation(c"workers")?);
        let of_workers = |name| column(workers, name);
        Ok(Tables {
            generation,
            services,
            services_key: index(c"services_pkey"),
            service_columns: [c"service_id", c"fenced_at", c"heartbeat_at", c"lease"]
                .map(|name| column(services, name)),
            workers,
            workers_key: index(c"workers_pkey"),
            work_key: index(c"workers_work_key"),
            token_key: index(c"workers_token_key"),
            columns: Columns {
                key: [c"resource_id", c"resource_type", c"lock_name"].map(of_workers),
                cluster: of_workers(c"cluster"),
                token: of_workers(c"token"),
                service_id: of_workers(c"service_id"),
                status: of_workers(c"status"),
                request_id: of_workers(c"request_id"),
                acquired_at: of_workers(c"acquired_at"),
                updated_at: of_workers(c"updated_at"),
                details: of_workers(c"details"),
                crashed_service_id: of_workers(c"crashed_service_id"),
            },
            token_counter: relation(c"token_counter")?,
        })
    }
}

/// The index, if it has an entry for every row. One that a failed CREATE INDEX or REINDEX left behind may not.
fn usable(index: Option<Oid>) -> Option<Oid> {
    let usable = |index: &FormData_pg_index| index.indisvalid && index.indisready && index.indislive;
    // SAFETY: the cache of pg_index.
    let usable = unsafe { syscache::row(SysCacheIdentifier::INDEXRELID, index?, usable) };
    index.filter(|_| usable == Some(true))
}
