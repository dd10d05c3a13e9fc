//! Is a service alive?

use super::index_scan;
use super::lookup::fields;
use super::place::{self, Place};
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation};
use std::time::Duration;

/// What a service may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// For so long, unless it sends a heartbeat.
    Alive(Duration),
    /// Its lease is over, but nobody has fenced it.
    Expired,
    /// Or unknown.
    Fenced,
}

impl Tables {
    /// Is the service alive by the database's clock? Ask inside its gate: a fence is committed then, or has not begun, and either
    /// way of looking tells.
    pub fn service(&self, service_id: i64) -> Result<Liveness, Error> {
        let place = place::SERVICES.with(|places| places.get(service_id));
        let equals = Oid::from(pg_sys::F_INT8EQ);
        let any = sabotage::removed(Guard::SameRow);
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let (lease, seen) = unsafe {
            catching(|| {
                let lease = |table, row| {
                    let (id, lease) = lease(table, row, self.service_columns);
                    (any || id == Some(Datum::from(service_id))).then_some(lease)
                };
                if let Some(place) = place
                    && let Some(lease) = place.look(self.services, lease)
                {
                    return (Some(lease), None);
                }
                let number = self.service_columns[0];
                let id = Datum::from(service_id);
                let mut keys = [index_scan::equals(number, equals, Oid::INVALID, id)];
                let (table, index) = (self.services, self.services_key);
                let found = index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    (lease(table, row), Place::of_found(table, row))
                });
                found.unwrap_or((None, None))
            })?
        };
        place::SERVICES.with(|places| places.note(service_id, seen));
        // SAFETY: reads the clock; it counts microseconds, as the end does.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let left = |end: i64| u64::try_from(end.saturating_sub(now));
        Ok(match lease {
            None | Some(Lease::Fenced) => Liveness::Fenced,
            Some(Lease::Until(end)) => match left(end) {
                Ok(left) if left > 0 => Liveness::Alive(Duration::from_micros(left)),
                _ => Liveness::Expired,
            },
        })
    }
}

/// What a row of `services` says.
#[derive(Clone, Copy)]
enum Lease {
    Until(i64),
    Fenced,
}

/// The number of a service and its lease, by its columns service_id, fenced_at, heartbeat_at, lease.
///
/// # Safety
/// As what [`index_scan::first`] hands a row to; the columns are of these types.
unsafe fn lease(table: Relation, row: HeapTuple, columns: [i16; 4]) -> (Option<Datum>, Lease) {
    // SAFETY: the caller's promise; an interval is a pointer to one.
    unsafe {
        let [id, fenced_at, heartbeat_at, lease] = fields(table, row, columns);
        let (None, Some(from), Some(lease)) = (fenced_at, heartbeat_at, lease) else {
            return (id, Lease::Fenced);
        };
        (id, Lease::Until(end(from, lease)))
    }
}

/// When a lease of this length is over, in microseconds as the clock counts them.
///
/// # Safety
/// Inside [`catching`]; a timestamp and an interval.
unsafe fn end(from: Datum, length: Datum) -> i64 {
    // SAFETY: the caller's promise; an interval is a pointer to one, a timestamp a number.
    unsafe {
        match *length.cast_mut_ptr::<pg_sys::Interval>() {
            pg_sys::Interval {
                time,
                day: 0,
                month: 0,
            } => (from.value() as i64).saturating_add(time),
            // Days and months are for Postgres' calendar.
            _ => {
                let add = Oid::from(pg_sys::F_TIMESTAMPTZ_PL_INTERVAL);
                raw::OidFunctionCall2Coll(add, Oid::INVALID, from, length).value() as i64
            }
        }
    }
}
