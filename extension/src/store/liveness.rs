//! Lookups of a service: whether it is alive, and who it is.

use super::index_scan;
use super::lookup::fields;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::FromDatum;
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation};
use std::time::Duration;

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Its lease ends after this time, unless it sends a heartbeat.
    Alive(Duration),
    /// Its lease is over, but it isn't fenced.
    Expired,
    /// Fenced or unknown.
    Fenced,
}

impl Tables {
    /// The state of the service by the database's clock. Under its service lock a fence is either committed or has not
    /// begun.
    pub fn liveness(&self, service_id: i64) -> Result<Liveness, Error> {
        let [id, fenced_at, heartbeat_at, lease] = self.service_columns;
        let columns = [fenced_at, heartbeat_at, lease];
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let lease = unsafe {
            catching(|| {
                let mut keys = [index_scan::equals_number(id, service_id)];
                let (table, index) = (self.services, self.services_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| read_lease(table, row, columns))
            })?
        };
        // SAFETY: reads the clock, in microseconds as the lease.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        Ok(lease.map_or(Liveness::Fenced, |lease| lease.at(now)))
    }
}

impl Tables {
    /// The cluster of a service and the role that registered it, which never change; `None` if it is unknown.
    pub fn registration(&self, service_id: i64) -> Result<Option<(String, Oid)>, Error> {
        let columns = self.registration_columns;
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing, and the copy of the
        // row outlives the scan.
        let found = unsafe {
            catching(|| {
                let mut keys = [index_scan::equals_number(self.service_columns[0], service_id)];
                let (table, index) = (self.services, self.services_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    Some(fields(table, raw::heap_copytuple(row), columns))
                })
            })?
        };
        // SAFETY: a text, and a regrole, which is an oid.
        let read = |[cluster, role]: [Option<Datum>; 2]| unsafe {
            Some((String::from_datum(cluster?, false)?, Oid::from_datum(role?, false)?))
        };
        Ok(found.and_then(read))
    }
}

/// The last heartbeat of a service that isn't fenced, and how long it counts, in microseconds.
struct Lease {
    heartbeat_at: i64,
    length: i64,
}

impl Lease {
    /// As `lease_over!` says in SQL.
    fn at(&self, now: i64) -> Liveness {
        let left = self.heartbeat_at.saturating_add(self.length).saturating_sub(now);
        let ahead = self.heartbeat_at.saturating_sub(self.length) > now;
        match u64::try_from(left) {
            Ok(left) if left > 0 && !ahead => Liveness::Alive(Duration::from_micros(left)),
            _ => Liveness::Expired,
        }
    }
}

/// Reads the columns fenced_at, heartbeat_at, lease. `None` if the service is fenced.
///
/// # Safety
/// As the `read` of [`index_scan::first`]; the columns are of these types.
unsafe fn read_lease(table: Relation, row: HeapTuple, columns: [i16; 3]) -> Option<Lease> {
    // SAFETY: the caller's promise. An interval's Datum is a pointer, a timestamp's a number.
    unsafe {
        let [None, Some(heartbeat_at), Some(lease)] = fields(table, row, columns) else {
            return None;
        };
        // A constraint of the table keeps days and months out.
        let length = (*lease.cast_mut_ptr::<pg_sys::Interval>()).time;
        Some(Lease { heartbeat_at: heartbeat_at.value() as i64, length })
    }
}
