//! Is a service alive?

use super::index_scan;
use super::lookup::fields;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation};
use std::time::Duration;

/// What a service may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// For so long, unless it sends a heartbeat.
    Alive(Duration),
    /// Its lease is over, but it is not fenced.
    Expired,
    /// Or unknown.
    Fenced,
}

impl Tables {
    /// Is the service alive by the database's clock? Ask under its service lock: a fence is committed then, or has not begun.
    pub fn liveness(&self, service_id: i64) -> Result<Liveness, Error> {
        let [id, fenced_at, heartbeat_at, lease] = self.service_columns;
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let end = unsafe {
            catching(|| {
                let equals = Oid::from(pg_sys::F_INT8EQ);
                let number = Datum::from(service_id);
                let mut keys = [index_scan::equals(id, equals, Oid::INVALID, number)];
                let columns = [fenced_at, heartbeat_at, lease];
                let (table, index) = (self.services, self.services_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    lease_end(table, row, columns)
                })
            })?
        };
        // SAFETY: reads the clock; it counts microseconds, as the end does.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let left = |end: i64| u64::try_from(end.saturating_sub(now));
        Ok(match end.flatten() {
            None => Liveness::Fenced,
            Some(end) => match left(end) {
                Ok(left) if left > 0 => Liveness::Alive(Duration::from_micros(left)),
                _ => Liveness::Expired,
            },
        })
    }
}

/// When a service's lease is over, by its columns fenced_at, heartbeat_at, lease. `None` if it is fenced.
///
/// # Safety
/// As what [`index_scan::first`] hands a row to; the columns are of these types.
unsafe fn lease_end(table: Relation, row: HeapTuple, columns: [i16; 3]) -> Option<i64> {
    // SAFETY: the caller's promise; an interval is a pointer to one, a timestamp a number.
    unsafe {
        let [None, Some(from), Some(lease)] = fields(table, row, columns) else {
            return None;
        };
        Some(match *lease.cast_mut_ptr::<pg_sys::Interval>() {
            pg_sys::Interval {
                time,
                day: 0,
                month: 0,
            } => (from.value() as i64).saturating_add(time),
            // Days and months are for Postgres' calendar.
            _ => {
                let add = Oid::from(pg_sys::F_TIMESTAMPTZ_PL_INTERVAL);
                raw::OidFunctionCall2Coll(add, Oid::INVALID, from, lease).value() as i64
            }
        })
    }
}
