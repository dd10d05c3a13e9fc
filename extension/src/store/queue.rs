//! The queue of submitted work, read in the order of its index without a statement.
//!
//! A look is a few descents of the index, however long the queue is.

use super::index_scan::{self, Ordered};
use super::indexes::of_queue;
use super::lookup::fields;
use super::scan_key::{self, Kind, Order};
use super::tables::{self, Kept, Tables};
use super::waiting::{Row, Waiting};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation, ScanKeyData, Snapshot, TimestampTz};
use std::cell::Cell;

/// The types of the index's columns: cluster, host, operation, resource_type, urgency, not_before, work_id.
const KINDS: [Kind; 7] = [Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Integer, Kind::Time, Kind::Number];

/// How many of them are the same for the work of a host, and for that of a lane.
const HOST: usize = 2;
const LANE: usize = 5;

/// Values of the index's columns.
pub type Place = [Datum; KINDS.len()];

/// A stretch of the index: what equals a place in the first columns, and how the columns up to another one stand to it
/// together.
#[derive(Clone, Copy)]
struct Stretch {
    equal: usize,
    then: Option<(Order, usize)>,
}

const OF_HOST: Stretch = Stretch { equal: HOST, then: None };

/// What follows a lane of the same host.
const NEXT_LANE: Stretch = Stretch { equal: HOST, then: Some((Order::After, LANE)) };

/// A lane from a piece of work on.
const FROM_WORK: Stretch = Stretch { equal: LANE, then: Some((Order::From, KINDS.len())) };

/// A lane after a time.
const AFTER_TIME: Stretch = Stretch { equal: LANE, then: Some((Order::After, LANE + 1)) };

thread_local! {
    static INDEX: Cell<Kept<Oid>> = const { Cell::new(None) };
}

/// The queue of one cluster.
pub struct Queue<'t> {
    pub tables: &'t Tables,
    index: Oid,
    cluster: &'t str,
}

impl<'t> Queue<'t> {
    /// An error if the index can't be relied on.
    pub fn of(tables: &'t Tables, cluster: &'t str) -> Result<Self, Error> {
        let look_up = || Ok(of_queue(tables.workers, &tables.columns, &KINDS.map(Kind::type_oid)));
        // The table is locked.
        let index = tables::kept(&INDEX, look_up, |_| [])?;
        if index == Oid::INVALID {
            return Err(Error::Unsupported {
                what: "the index volguard.workers_queue_idx is missing, or not as volguard made it".to_owned(),
                hint: "No work is handed out without it. Make it again, as the extension's script does.",
            });
        }
        Ok(Queue { tables, index, cluster })
    }

    /// The first work of each lane for these hosts; an empty one is that of work for any.
    pub fn lanes(&self, hosts: &[String]) -> Result<Vec<Waiting>, Error> {
        let places: Vec<Place> = hosts.iter().map(|host| self.place_of_host(host)).collect();
        let mut lanes = Vec::new();
        // SAFETY: the closure owns nothing; the list is outside of it.
        unsafe {
            self.look(|scan| {
                for start in &places {
                    let (mut at, mut stretch) = (Some(*start), OF_HOST);
                    while let Some(place) = at {
                        // A descent looks for no interrupts.
                        if pg_sys::InterruptPending != 0 {
                            raw::ProcessInterrupts();
                        }
                        let row = self.first(scan, &place, stretch);
                        at = row.and_then(place_of);
                        stretch = NEXT_LANE;
                        lanes.extend(row);
                    }
                }
            })?;
        }
        Ok(lanes.into_iter().filter_map(Waiting::read).collect())
    }

    /// The first work of a lane now, from that on that was first before.
    pub fn first_from(&self, before: &Waiting) -> Result<Option<Waiting>, Error> {
        self.first_of(before, FROM_WORK)
    }

    /// The first work of a lane that is due after a time.
    pub fn first_after(&self, lane: &Waiting, time: TimestampTz) -> Result<Option<Waiting>, Error> {
        self.first_of(&Waiting { not_before: time, ..lane.clone() }, AFTER_TIME)
    }

    fn first_of(&self, at: &Waiting, stretch: Stretch) -> Result<Option<Waiting>, Error> {
        let place = self.place(at);
        // SAFETY: the closure owns nothing.
        let found = unsafe { self.look(|scan| self.first(scan, &place, stretch))? };
        Ok(found.and_then(Waiting::read))
    }

    /// Opens the index for a look.
    ///
    /// # Safety
    /// `look` calls only functions of [`raw`], and owns nothing.
    pub unsafe fn look<R>(&self, look: impl FnOnce(&Ordered) -> R) -> Result<R, Error> {
        // SAFETY: the table is locked, and the index is one of it, as this type says; the caller's promise.
        unsafe { catching(|| index_scan::in_order(self.tables.workers, self.index, look)) }
    }

    /// Columns of a copy of the first row in the stretch.
    ///
    /// # Safety
    /// Inside of [`Queue::look`].
    unsafe fn first(&self, scan: &Ordered, place: &Place, stretch: Stretch) -> Option<Row> {
        let columns = self.tables.columns.of_waiting();
        // SAFETY: the copy outlives the scan; the caller's promise.
        let mut read = |table, _: Snapshot, row| unsafe { Some(fields(table, raw::heap_copytuple(row), columns)) };
        // SAFETY: as above.
        unsafe { self.each(scan, place, stretch, None, &mut read) }
    }

    /// Hands the rows of a lane that are due at a time to `read`, from one on that is, until it returns a value.
    ///
    /// # Safety
    /// Inside of [`Queue::look`]; `read` calls only functions of [`raw`], and owns nothing. The place is
    /// [`Queue::place`] of the work.
    pub unsafe fn each_due<R>(
        &self,
        scan: &Ordered,
        place: &Place,
        time: TimestampTz,
        read: &mut impl FnMut(Relation, Snapshot, HeapTuple) -> Option<R>,
    ) -> Option<R> {
        // SAFETY: the caller's promise.
        unsafe { self.each(scan, place, FROM_WORK, Some(time), read) }
    }

    /// # Safety
    /// As [`Queue::each_due`].
    unsafe fn each<R>(
        &self,
        scan: &Ordered,
        place: &Place,
        Stretch { equal, then }: Stretch,
        until: Option<TimestampTz>,
        read: &mut impl FnMut(Relation, Snapshot, HeapTuple) -> Option<R>,
    ) -> Option<R> {
        let mut keys = [ScanKeyData::default(); KINDS.len() + 2];
        let mut members = [ScanKeyData::default(); KINDS.len()];
        let mut count = equal;
        // SAFETY: the columns of the index are of these types, as are the values; the caller's promise. The members
        // outlive the scan.
        unsafe {
            for column in 0..equal {
                keys[column] = KINDS[column].key(number(column), Order::Equal, place[column]);
            }
            if let Some((order, end)) = then {
                keys[count] = match end - equal {
                    1 => KINDS[equal].key(number(equal), order, place[equal]),
                    _ => {
                        for column in equal..end {
                            let is_last = column + 1 == end;
                            members[column] = KINDS[column].member(number(column), order, place[column], is_last);
                        }
                        scan_key::row(&mut members[equal..end])
                    }
                };
                count += 1;
            }
            if let Some(time) = until {
                keys[count] = Kind::Time.key(number(LANE), Order::UpTo, Datum::from(time));
                count += 1;
            }
            scan.first(&mut keys[..count], read)
        }
    }

    /// Where a piece of work is in the queue.
    pub fn place(&self, at: &Waiting) -> Place {
        let mut place = self.place_of_host(&at.host);
        place[HOST..].copy_from_slice(&[
            text(&at.operation),
            text(&at.resource_type),
            Datum::from(at.urgency),
            Datum::from(at.not_before),
            Datum::from(at.work_id),
        ]);
        place
    }

    /// Of which the first columns alone count.
    fn place_of_host(&self, host: &str) -> Place {
        let mut place = [Datum::null(); KINDS.len()];
        place[..HOST].copy_from_slice(&[text(self.cluster), text(host)]);
        place
    }
}

/// `None` for a row that has a NULL in the index, which none of ours has: it can't be compared.
fn place_of([cluster, host, operation, resource_type, priority, not_before, work_id, _]: Row) -> Option<Place> {
    let urgency = Datum::from((priority?.value() as i32).wrapping_neg());
    Some([cluster?, host?, operation?, resource_type?, urgency, not_before?, work_id?])
}

/// That of a column in the index.
fn number(column: usize) -> i16 {
    column as i16 + 1
}

fn text(text: &str) -> Datum {
    text.into_datum().expect("a text is no NULL")
}
