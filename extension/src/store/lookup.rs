//! Lookups in `workers` through its indexes. Each acquire and each release needs them, and a statement would spend most
//! of its time on its start and end.

use super::columns::Columns;
use super::index_scan;
use super::key::Key;
use super::scan_key;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::FromDatum;
use pgrx::datum::Uuid;
use pgrx::pg_sys::{Datum, HeapTuple, ItemPointerData, Oid, Relation, ScanKeyData, TimestampTz};

/// The row that occupies a key or a work slot.
#[derive(Debug)]
pub struct Occupant {
    pub tid: ItemPointerData,
    /// It has the key itself, not only the work slot.
    pub has_key: bool,
    pub token: i64,
    /// `None`: work that waits for a service.
    pub service_id: Option<i64>,
    pub request_id: Option<Uuid>,
    pub status: Option<String>,
    /// When its work is tried again, after a cleanup could not repair it: a time of the server's clock.
    pub retry_at: Option<TimestampTz>,
}

/// A row of a service, as it is told apart after a lost reply.
#[derive(Debug)]
pub struct ServiceRow {
    pub token: i64,
    pub request_id: Option<Uuid>,
    /// Work that the service has claimed.
    pub claimed: bool,
}

/// The row of a token.
#[derive(Debug)]
pub struct Held {
    /// Its place in the table, while that has this file.
    tid: ItemPointerData,
    file: Oid,
    pub token: i64,
    pub resource_type: String,
    pub resource_id: String,
    pub lock_name: String,
    pub service_id: i64,
    /// It has a status, and so the resource's work slot.
    pub working: bool,
    /// The number of submitted work.
    pub work_id: Option<i64>,
    /// Submitted work: it was submitted under a request id.
    pub has_request: bool,
}

impl Held {
    /// The row's place, or that of a later version of it: it is looked up again if the table was rewritten since.
    /// `None` if no row has the token any more.
    pub fn place(&self, tables: &Tables) -> Result<Option<ItemPointerData>, Error> {
        if self.file == tables.workers_file || sabotage::removed(Guard::Catalog) {
            return Ok(Some(self.tid));
        }
        Ok(tables.held(self.token)?.map(|held| held.tid))
    }
}

/// The place of a row, and columns of it.
type Placed<const N: usize> = (ItemPointerData, [Option<Datum>; N]);

impl Tables {
    /// The row that has this key or, with `slot`, the resource's work slot. A deleted row counts until the delete is
    /// committed.
    pub fn occupant(&self, key: &Key, slot: bool) -> Result<Option<Occupant>, Error> {
        let Columns { token, service_id, request_id, crashed_service_id, status, retry_at, .. } = self.columns;
        let numbers = [token, service_id, request_id, crashed_service_id, status, retry_at];
        let datums = key.datums();
        // SAFETY: the table is locked, and the key's columns are texts; the closures own nothing.
        let (has_key, found) = unsafe {
            catching(|| {
                let key = |at: usize| scan_key::equals_text(self.columns.key[at], datums[at]);
                let found = self.worker(self.workers_key, &mut [key(0), key(1), key(2)], numbers, false);
                if found.is_some() || !slot {
                    return (true, found);
                }
                let found = self.worker(self.work_key, &mut [key(0), key(1)], numbers, true);
                (false, found)
            })?
        };
        let occupant = |(tid, fields): (_, [Option<Datum>; 6])| {
            let [token, service_id, request_id, crashed, status, retry_at] = fields;
            // The request id of a claimed row is that of a claim: no acquire of its holder has got it.
            let request_id = request_id.filter(|_| crashed.is_none());
            // SAFETY: the fields are of these types, in a copy of the row.
            unsafe {
                Some(Occupant {
                    tid,
                    has_key,
                    token: i64::from_datum(token?, false)?,
                    service_id: service_id.and_then(|id| i64::from_datum(id, false)),
                    request_id: request_id.and_then(|id| Uuid::from_datum(id, false)),
                    status: status.and_then(|status| String::from_datum(status, false)),
                    retry_at: retry_at.map(|at| at.value() as TimestampTz),
                })
            }
        };
        Ok(found.and_then(occupant))
    }

    /// The row that has the token, if a service has the row: the token of work that waits is none.
    pub fn held(&self, token: i64) -> Result<Option<Held>, Error> {
        let [resource_id, resource_type, lock_name] = self.columns.key;
        let Columns { service_id, status, work_id, submit_request, .. } = self.columns;
        let numbers = [resource_type, resource_id, lock_name, service_id, status, work_id, submit_request];
        let row = self.of_token(token, numbers)?;
        let held = |(tid, fields): (_, [Option<Datum>; 7])| {
            // SAFETY: the fields are of these types, in a copy of the row.
            let text = |at: usize| unsafe { String::from_datum(fields[at]?, false) };
            Some(Held {
                tid,
                file: self.workers_file,
                token,
                resource_type: text(0)?,
                resource_id: text(1)?,
                lock_name: text(2)?,
                // SAFETY: as above.
                service_id: unsafe { i64::from_datum(fields[3]?, false)? },
                working: fields[4].is_some(),
                // SAFETY: as above.
                work_id: fields[5].and_then(|id| unsafe { i64::from_datum(id, false) }),
                has_request: fields[6].is_some(),
            })
        };
        Ok(row.and_then(held))
    }

    /// Columns of the row of a token.
    pub fn row_of<const N: usize>(&self, token: i64, numbers: [i16; N]) -> Result<Option<[Option<Datum>; N]>, Error> {
        Ok(self.of_token(token, numbers)?.map(|(_, fields)| fields))
    }

    /// The same, and the place of the row.
    fn of_token<const N: usize>(&self, token: i64, numbers: [i16; N]) -> Result<Option<Placed<N>>, Error> {
        // SAFETY: the table is locked, and the token is a bigint; the closures own nothing.
        unsafe {
            catching(|| {
                let key = scan_key::equals_number(self.columns.token, token);
                self.worker(self.token_key, &mut [key], numbers, false)
            })
        }
    }

    /// The token of the work on a resource.
    pub fn work_on(&self, key: &Key) -> Result<Option<i64>, Error> {
        let datums = key.datums();
        // SAFETY: the table is locked, and the columns are texts; the closures own nothing.
        let row = unsafe {
            catching(|| {
                let key = |at: usize| scan_key::equals_text(self.columns.key[at], datums[at]);
                self.worker(self.work_key, &mut [key(0), key(1)], [self.columns.token], true)
            })?
        };
        // SAFETY: the column is a bigint.
        Ok(row.and_then(|(_, [token])| unsafe { i64::from_datum(token?, false) }))
    }

    /// All rows of a service.
    pub fn rows_of(&self, service_id: i64) -> Result<Vec<ServiceRow>, Error> {
        let Columns { token, request_id, crashed_service_id, .. } = self.columns;
        let mut rows = Vec::new();
        // SAFETY: the table is locked, the columns are of these types. The closures own nothing; the list outlives
        // them, and the request id, which the row has in place, is copied into it.
        unsafe {
            catching(|| {
                let mut keys = [scan_key::equals_number(self.columns.service_id, service_id)];
                index_scan::first(self.workers, self.workers_of_service, &mut keys, true, |table, _, row| {
                    let [token, request_id, crashed] = fields(table, row, [token, request_id, crashed_service_id]);
                    rows.push(ServiceRow {
                        token: i64::from_datum(token?, false)?,
                        request_id: request_id.and_then(|id| Uuid::from_datum(id, false)),
                        claimed: crashed.is_some(),
                    });
                    None::<()>
                })
            })?;
        }
        Ok(rows)
    }

    /// The first row of `workers` that meets the conditions: its tid, and fields of a copy of it. `working`: only rows
    /// with a status, which are the only ones in the index of work slots, but not in the table.
    ///
    /// # Safety
    /// As [`index_scan::first`]; the numbers are those of columns.
    unsafe fn worker<const N: usize>(
        &self,
        index: Oid,
        keys: &mut [ScanKeyData],
        numbers: [i16; N],
        working: bool,
    ) -> Option<Placed<N>> {
        // SAFETY: the caller's promise; the copy outlives the scan.
        unsafe {
            index_scan::first(self.workers, index, keys, true, |table, _, row| {
                if working && fields(table, row, [self.columns.status]) == [None] {
                    return None;
                }
                let copy = raw::heap_copytuple(row);
                Some(((*row).t_self, fields(table, copy, numbers)))
            })
        }
    }
}

/// Fields of a row; `None` for NULL.
///
/// # Safety
/// As the `read` of [`index_scan::first`]; the numbers are those of columns of the table.
pub unsafe fn fields<const N: usize>(table: Relation, row: HeapTuple, numbers: [i16; N]) -> [Option<Datum>; N] {
    // SAFETY: the caller's promise. The two arrays have an element per column, and the fields live as long as the row.
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

/// A boolean; a NULL is false.
pub fn is_true(field: Option<Datum>) -> bool {
    field.is_some_and(|field| field.value() != 0)
}
