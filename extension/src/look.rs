//! Looks at our own tables through their indexes: is this service alive, who has this key? Asked at each acquire, where a
//! statement would spend most of its time on starting and ending.

use crate::catch::{catching, raw};
use crate::error::Error;
use crate::scan;
use crate::tables::{Columns, Tables};
use pgrx::datum::Uuid;
use pgrx::pg_sys::{self, Datum, HeapTuple, ItemPointerData, Oid, Relation};
use pgrx::{FromDatum, IntoDatum};
use std::time::Duration;

/// What a service may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// For so long, unless it sends a heartbeat.
    Alive(Duration),
    /// Its lease is over, but nobody has fenced it.
    Expired,
    /// Or unknown.
    Fenced,
}

/// A row that keeps somebody from a key.
#[derive(Debug)]
pub struct Obstacle {
    pub place: ItemPointerData,
    /// Not just the work slot.
    pub has_key: bool,
    pub token: i64,
    pub service_id: i64,
    pub request_id: Option<Uuid>,
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
        // SAFETY: a timestamp, and the clock; both count microseconds.
        let (end, now) = unsafe {
            let end = end.flatten().and_then(|end| i64::from_datum(end, false));
            (end, pg_sys::GetCurrentTimestamp())
        };
        Ok(
            match end.map(|end| u64::try_from(end.saturating_sub(now))) {
                None => Service::Fenced,
                Some(Ok(left)) if left > 0 => Service::Alive(Duration::from_micros(left)),
                Some(_) => Service::Expired,
            },
        )
    }

    /// The row that has this key, or with a status the work slot. One that is just being deleted counts until that is
    /// committed.
    pub fn in_the_way(&self, names: [&str; 4], slot: bool) -> Result<Option<Obstacle>, Error> {
        let names = names.map(|name| name.into_datum().unwrap_or(Datum::null()));
        let Columns {
            token,
            service_id,
            request_id,
            ..
        } = self.columns;
        let numbers = [token, service_id, request_id];
        // SAFETY: the table is locked, the columns are texts; the closures own nothing.
        let (has_key, found) = unsafe {
            catching(|| {
                let key = |at: usize| {
                    let equals = Oid::from(pg_sys::F_TEXTEQ);
                    let collation = pg_sys::C_COLLATION_OID;
                    scan::equals(self.columns.key[at], equals, collation, names[at])
                };
                let row = |table: Relation, _, row: HeapTuple| {
                    (
                        (*row).t_self,
                        fields(table, raw::heap_copytuple(row), numbers),
                    )
                };
                // In the order of the indexes' columns, as a scan demands.
                let mut keys = [key(2), key(1), key(0), key(3)];
                let found = scan::first(self.workers, self.workers_key, &mut keys, true, row);
                if found.is_some() || !slot {
                    return (true, found);
                }
                let mut keys = [key(2), key(1), key(0)];
                (
                    false,
                    scan::first(self.workers, self.work_key, &mut keys, true, row),
                )
            })?
        };
        let obstacle = |(place, [token, service_id, request_id]): (_, [Option<Datum>; 3])| {
            // SAFETY: fields of these types, in a copy of the row.
            unsafe {
                Some(Obstacle {
                    place,
                    has_key,
                    token: i64::from_datum(token?, false)?,
                    service_id: i64::from_datum(service_id?, false)?,
                    request_id: request_id.and_then(|id| Uuid::from_datum(id, false)),
                })
            }
        };
        Ok(found.and_then(obstacle))
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
