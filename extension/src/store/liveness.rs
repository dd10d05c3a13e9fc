//! Lookups of a service: whether it is alive, and who it is.

use super::index_scan;
use super::lookup::{fields, is_true};
use super::scan_key;
use super::tables::Tables;
use crate::input::argument::LEASES;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::FromDatum;
use pgrx::pg_sys::{self, Datum, HeapTuple, Relation};
use std::ffi::CStr;
use std::ops::RangeInclusive;
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
    /// Its lease or its heartbeat are not what volguard writes: it counts neither as alive nor as dead. No cleanup
    /// touches it.
    Broken,
}

impl Tables {
    /// The state of the service by the database's clock. Under its service lock a fence is either committed or has not
    /// begun.
    pub fn liveness(&self, service_id: i64) -> Result<Liveness, Error> {
        Ok(self.life(service_id, None)?.0)
    }

    /// The same, and what a column says of the service, a boolean.
    pub fn liveness_and_mark(&self, service_id: i64, mark: i16) -> Result<(Liveness, bool), Error> {
        self.life(service_id, Some(mark))
    }

    fn life(&self, service_id: i64, mark: Option<i16>) -> Result<(Liveness, bool), Error> {
        let [id, fenced_at, heartbeat_at, lease] = self.service_columns;
        let columns = [fenced_at, heartbeat_at, lease, mark.unwrap_or(id)];
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing.
        let found = unsafe {
            catching(|| {
                let mut keys = [scan_key::equals_number(id, service_id)];
                let (table, index) = (self.services, self.services_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| read(table, row, columns))
            })?
        };
        // SAFETY: reads the clock, in microseconds as the lease.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let Some((row, value)) = found else {
            return Ok((Liveness::Fenced, false));
        };
        let liveness = match row {
            Row::Fenced => Liveness::Fenced,
            Row::Broken => Liveness::Broken,
            Row::Lease(lease) => lease.at(now),
        };
        Ok((liveness, mark.is_some() && is_true(value)))
    }
}

/// What a service has registered with.
pub struct Registration {
    pub cluster: String,
    pub registered_by: String,
    pub host: String,
}

impl Tables {
    /// What never changes about a service; `None` if it is unknown.
    pub fn registration(&self, service_id: i64) -> Result<Option<Registration>, Error> {
        let columns = self.registration_columns;
        // SAFETY: the table is locked, the columns are of these types; the closures own nothing, and the copy of the
        // row outlives the scan.
        let found = unsafe {
            catching(|| {
                let mut keys = [scan_key::equals_number(self.service_columns[0], service_id)];
                let (table, index) = (self.services, self.services_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    Some(fields(table, raw::heap_copytuple(row), columns))
                })
            })?
        };
        // SAFETY: a text, a name and a text, in a copy of the row.
        let read = |[cluster, role, host]: [Option<Datum>; 3]| unsafe {
            let role = <&CStr>::from_datum(role?, false)?.to_string_lossy();
            Some(Registration {
                cluster: String::from_datum(cluster?, false)?,
                registered_by: role.into_owned(),
                host: String::from_datum(host?, false)?,
            })
        };
        Ok(found.and_then(read))
    }
}

/// What a row says about the life of its service.
enum Row {
    Fenced,
    Broken,
    Lease(Lease),
}

/// The last heartbeat of a service that isn't fenced, and how long it counts, in microseconds.
#[derive(Clone, Copy)]
struct Lease {
    heartbeat_at: i64,
    length: i64,
}

/// After the begin of the year 1000 and before that of 9999, in microseconds since 2000: the sum with a lease is in
/// range.
const TIMES: RangeInclusive<i64> = -31_556_908_799_999_999..=252_424_079_999_999_999;

impl Lease {
    /// As `lease_over!` says in SQL, with the same bounds.
    fn read(heartbeat_at: i64, lease: pg_sys::Interval) -> Option<Self> {
        let sane = TIMES.contains(&heartbeat_at)
            // The table has a constraint, which a superuser may have dropped.
            && LEASES.contains(&lease.time)
            && (lease.day, lease.month) == (0, 0);
        sane.then_some(Lease { heartbeat_at, length: lease.time })
    }

    fn at(self, now: i64) -> Liveness {
        let left = self.heartbeat_at.saturating_add(self.length).saturating_sub(now);
        let ahead = self.heartbeat_at.saturating_sub(self.length) > now;
        match u64::try_from(left) {
            Ok(left) if left > 0 && !ahead => Liveness::Alive(Duration::from_micros(left)),
            _ => Liveness::Expired,
        }
    }
}

/// Reads the columns fenced_at, heartbeat_at, lease, and one that has its value in place.
///
/// # Safety
/// As the `read` of [`index_scan::first`]; the columns are of these types.
unsafe fn read(table: Relation, row: HeapTuple, columns: [i16; 4]) -> Option<(Row, Option<Datum>)> {
    // SAFETY: the caller's promise. An interval's Datum is a pointer, a timestamp's a number.
    unsafe {
        let [fenced_at, heartbeat_at, lease, value] = fields(table, row, columns);
        let life = match [fenced_at, heartbeat_at, lease] {
            [Some(_), ..] => Row::Fenced,
            [None, Some(heartbeat_at), Some(lease)] => {
                let lease = *lease.cast_mut_ptr::<pg_sys::Interval>();
                Lease::read(heartbeat_at.value() as i64, lease).map_or(Row::Broken, Row::Lease)
            }
            // A superuser has dropped their NOT NULL.
            _ => Row::Broken,
        };
        Some((life, value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Lease, Liveness};
    use pgrx::pg_sys::Interval;
    use std::time::Duration;

    const SECOND: i64 = 1_000_000;

    fn read(heartbeat_at: i64, time: i64, day: i32, month: i32) -> Option<Lease> {
        Lease::read(heartbeat_at, Interval { time, day, month })
    }

    #[test]
    fn a_service_is_alive_until_its_lease_is_over() {
        let lease = read(1000 * SECOND, 60 * SECOND, 0, 0).expect("a lease");
        assert_eq!(lease.at(1010 * SECOND), Liveness::Alive(Duration::from_secs(50)));
        assert_eq!(lease.at(1060 * SECOND), Liveness::Expired);
        // A clock that was set back by more than the lease.
        assert_eq!(lease.at(940 * SECOND), Liveness::Alive(Duration::from_secs(120)));
        assert_eq!(lease.at(940 * SECOND - 1), Liveness::Expired);
    }

    #[test]
    fn what_makes_no_sense_is_no_lease() {
        for heartbeat_at in [i64::MAX, i64::MIN, 252_424_080_000_000_000, -31_556_908_800_000_000] {
            assert!(read(heartbeat_at, 60 * SECOND, 0, 0).is_none(), "{heartbeat_at}");
        }
        let length = 8784 * 60 * 60 * SECOND;
        for (time, day, month) in [
            (0, 0, 0),
            (-SECOND, 0, 0),
            (length + 1, 0, 0),
            (SECOND, 1, 0),
            (SECOND, 0, -1),
            (i64::MAX, i32::MAX, i32::MAX),
        ] {
            assert!(read(0, time, day, month).is_none(), "{time} {day} {month}");
        }
        assert!(read(0, length, 0, 0).is_some() && read(0, SECOND / 10, 0, 0).is_some());
    }
}
