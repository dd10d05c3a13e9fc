//! Looks at our own tables through their indexes: is this service alive, is this key free? Asked at each acquire, where a
//! statement would spend most of its time on starting and ending.

use crate::catch::{catching, raw};
use crate::error::Error;
use crate::invalidation::generation;
use crate::{owner, scan};
use pgrx::pg_sys::{self, Datum, HeapTuple, ItemPointerData, Oid, Relation};
use pgrx::{FromDatum, IntoDatum};
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    static TABLES: Cell<Option<Tables>> = const { Cell::new(None) };
}

/// Where the tables, their columns and indexes are, in one generation of the catalog.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    generation: u64,
    services: Oid,
    services_key: Oid,
    /// service_id, fenced_at, heartbeat_at, lease
    service_columns: [i16; 4],
    workers: Oid,
    workers_key: Oid,
    work_key: Oid,
    token_key: Oid,
    columns: Columns,
    token_counter: Oid,
}

/// The numbers of the columns of `workers`.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// cluster, resource_type, resource_id, lock_name
    pub key: [i16; 4],
    pub token: i16,
    pub service_id: i16,
    pub status: i16,
    pub request_id: i16,
    pub acquired_at: i16,
    pub updated_at: i16,
    pub details: i16,
}

impl Tables {
    /// Locks the two tables as a statement that reads them does, and finds its way about them.
    pub fn open() -> Result<Self, Error> {
        loop {
            let tables = TABLES.get().map_or_else(Tables::look_up, Ok)?;
            tables.lock()?;
            if tables.generation == generation() {
                TABLES.set(Some(tables));
                return Ok(tables);
            }
            TABLES.set(None);
        }
    }

    fn lock(&self) -> Result<(), Error> {
        let share = pg_sys::AccessShareLock as i32;
        // SAFETY: locks by the tables' numbers; the closure owns nothing.
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
        // Without an index the table is searched instead, which can only find more.
        let index = |name| owner::relation(name).unwrap_or(Oid::INVALID);
        // SAFETY: a catalog look-up of a running transaction.
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
                key: [c"cluster", c"resource_type", c"resource_id", c"lock_name"].map(of_workers),
                token: of_workers(c"token"),
                service_id: of_workers(c"service_id"),
                status: of_workers(c"status"),
                request_id: of_workers(c"request_id"),
                acquired_at: of_workers(c"acquired_at"),
                updated_at: of_workers(c"updated_at"),
                details: of_workers(c"details"),
            },
            token_counter: relation(c"token_counter")?,
        })
    }
}

/// What a service may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Alive,
    /// Its lease is over, but nobody has fenced it.
    Expired,
    /// Or unknown.
    Fenced,
}

/// A row of `workers`.
#[derive(Debug)]
pub struct Held {
    pub place: ItemPointerData,
    /// cluster, resource_type, resource_id, lock_name
    pub names: [String; 4],
    pub service_id: i64,
    /// It has a status, and so the resource's work slot.
    pub working: bool,
}

impl Tables {
    /// Is the service alive by the database's clock? Ask inside its gate.
    pub fn service(&self, service_id: i64) -> Result<Service, Error> {
        let [number, fenced_at, heartbeat_at, lease] = self.service_columns;
        let equals = Oid::from(pg_sys::F_INT8EQ);
        let add = Oid::from(pg_sys::F_TIMESTAMPTZ_PL_INTERVAL);
        let id = Datum::from(service_id);
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let end = unsafe {
            catching(|| {
                let mut keys = [scan::equals(number, equals, Oid::INVALID, id)];
                let (table, index) = (self.services, self.services_key);
                scan::first(table, index, &mut keys, true, |table, _, row| match fields(
                    table,
                    row,
                    [fenced_at, heartbeat_at, lease],
                ) {
                    [None, Some(from), Some(lease)] => {
                        Some(raw::OidFunctionCall2Coll(add, Oid::INVALID, from, lease))
                    }
                    _ => None,
                })
            })?
        };
        // SAFETY: a timestamp, and the clock.
        Ok(unsafe {
            match end.flatten().and_then(|end| i64::from_datum(end, false)) {
                None => Service::Fenced,
                Some(end) if end <= pg_sys::GetCurrentTimestamp() => Service::Expired,
                Some(_) => Service::Alive,
            }
        })
    }

    /// Is there a row of this key, or with a status one of the work slot? One that is just being deleted counts until that is
    /// committed.
    pub fn is_taken(&self, names: [&str; 4], has_status: bool) -> Result<bool, Error> {
        let names = names.map(|name| name.into_datum().unwrap_or(Datum::null()));
        // SAFETY: the table is locked, the columns are texts; the closures own nothing.
        unsafe {
            catching(|| {
                let key = |at: usize| {
                    let equals = Oid::from(pg_sys::F_TEXTEQ);
                    let collation = pg_sys::DEFAULT_COLLATION_OID;
                    scan::equals(self.columns.key[at], equals, collation, names[at])
                };
                let mut keys = [key(0), key(1), key(2), key(3)];
                let (table, index) = (self.workers, self.workers_key);
                if scan::first(table, index, &mut keys, true, |_, _, _| ()).is_some() {
                    return true;
                }
                let mut keys = [key(0), key(1), key(2)];
                has_status
                    && scan::first(table, self.work_key, &mut keys, true, |_, _, _| ()).is_some()
            })
        }
    }

    /// The row that has the token, and where it is.
    pub fn held(&self, token: i64) -> Result<Option<Held>, Error> {
        let Columns {
            key: [cluster, resource_type, resource_id, lock_name],
            status,
            service_id,
            ..
        } = self.columns;
        let numbers = [
            cluster,
            resource_type,
            resource_id,
            lock_name,
            service_id,
            status,
        ];
        let equals = Oid::from(pg_sys::F_INT8EQ);
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let row = unsafe {
            catching(|| {
                let token = Datum::from(token);
                let mut keys = [scan::equals(
                    self.columns.token,
                    equals,
                    Oid::INVALID,
                    token,
                )];
                let (table, index) = (self.workers, self.token_key);
                scan::first(table, index, &mut keys, true, |table, _, row| {
                    (
                        (*row).t_self,
                        fields(table, raw::heap_copytuple(row), numbers),
                    )
                })
            })?
        };
        let held = |(place, fields): (_, [Option<Datum>; 6])| {
            // SAFETY: fields of these types, in a copy of the row.
            let text = |at: usize| unsafe { String::from_datum(fields[at]?, false) };
            Some(Held {
                place,
                names: [text(0)?, text(1)?, text(2)?, text(3)?],
                // SAFETY: as above.
                service_id: unsafe { i64::from_datum(fields[4]?, false)? },
                working: fields[5].is_some(),
            })
        };
        Ok(row.and_then(held))
    }

    pub fn workers(&self) -> Oid {
        self.workers
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The sequence that tokens are drawn from.
    pub fn token_counter(&self) -> Oid {
        self.token_counter
    }
}

/// Fields of a row; `None` for NULL.
///
/// # Safety
/// As what [`scan::first`] hands a row to; the numbers are those of columns of the table.
unsafe fn fields<const N: usize>(
    table: Relation,
    row: HeapTuple,
    numbers: [i16; N],
) -> [Option<Datum>; N] {
    // SAFETY: the caller's promise; the two arrays have an element a column, and their fields live as long as the row.
    unsafe {
        let descriptor = (*table).rd_att;
        let count = (*descriptor).natts as usize;
        let values = raw::palloc(count * size_of::<Datum>()).cast::<Datum>();
        let nulls = raw::palloc(count * size_of::<bool>()).cast::<bool>();
        raw::heap_deform_tuple(row, descriptor, values, nulls);
        numbers.map(|number| {
            let at = number as usize - 1;
            (!*nulls.add(at)).then(|| *values.add(at))
        })
    }
}
