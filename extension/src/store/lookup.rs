//! Looks at our own tables through their indexes: is this service alive, who has this key? Asked at each acquire, where a
//! statement would spend most of its time on starting and ending.

use super::tables::{Columns, Tables};
use super::{index_scan, place};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::datum::Uuid;
use pgrx::pg_sys::{self, Datum, HeapTuple, ItemPointerData, Oid, Relation};
use pgrx::{FromDatum, IntoDatum};

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
    /// The row that has this key, or with a status the work slot. One that is just being deleted counts until that is
    /// committed.
    pub fn in_the_way(&self, names: [&str; 4], slot: bool) -> Result<Option<Obstacle>, Error> {
        let names = names.map(|name| name.into_datum().unwrap_or(Datum::null()));
        let Columns {
            token,
            service_id,
            request_id,
            crashed_service_id,
            ..
        } = self.columns;
        let numbers = [token, service_id, request_id, crashed_service_id];
        // SAFETY: the table is locked, the columns are texts; the closures own nothing.
        let (has_key, found) = unsafe {
            catching(|| {
                let key = |at: usize| {
                    let equals = Oid::from(pg_sys::F_TEXTEQ);
                    let collation = pg_sys::C_COLLATION_OID;
                    index_scan::equals(self.columns.key[at], equals, collation, names[at])
                };
                let row = |table: Relation, _, row: HeapTuple| {
                    (
                        (*row).t_self,
                        fields(table, raw::heap_copytuple(row), numbers),
                    )
                };
                // In the order of the indexes' columns, as a scan demands.
                let mut keys = [key(2), key(1), key(0), key(3)];
                let found = index_scan::first(self.workers, self.workers_key, &mut keys, true, row);
                if found.is_some() || !slot {
                    return (true, found);
                }
                let mut keys = [key(2), key(1), key(0)];
                (
                    false,
                    index_scan::first(self.workers, self.work_key, &mut keys, true, row),
                )
            })?
        };
        let obstacle = |(place, fields): (_, [Option<Datum>; 4])| {
            let [token, service_id, request_id, crashed] = fields;
            // A claimed row keeps the request id of the crashed service, whose request that was.
            let request_id = request_id.filter(|_| crashed.is_none());
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
        let any = sabotage::removed(Guard::SameRow);
        let place = place::TOKENS.with(|places| places.get(token));
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let row = unsafe {
            catching(|| {
                let number = self.columns.token;
                let copied = |table, row: HeapTuple| {
                    let row = raw::heap_copytuple(row);
                    ((*row).t_self, fields(table, row, numbers))
                };
                if let Some(place) = place
                    && let Some(row) = place.look(self.workers, |table, row| {
                        let [found] = fields(table, row, [number]);
                        (any || found == Some(Datum::from(token))).then(|| copied(table, row))
                    })
                {
                    return Some(row);
                }
                let mut keys = [index_scan::equals(
                    number,
                    equals,
                    Oid::INVALID,
                    Datum::from(token),
                )];
                let (table, index) = (self.workers, self.token_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    copied(table, row)
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
/// As what [`index_scan::first`] hands a row to; the numbers are those of columns of the table.
pub unsafe fn fields<const N: usize>(
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
