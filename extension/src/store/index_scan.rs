//! The rows that an index finds, and the largest value in it, without a statement: starting one would cost more than
//! the lookup.

use super::lookup::fields;
use super::scan_key;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation, ScanDirection, ScanKeyData, Snapshot, TupleTableSlot};
use std::ptr;

fn is_serializable() -> bool {
    // SAFETY: a plain variable of the backend.
    unsafe { pg_sys::XactIsoLevel == pg_sys::XACT_SERIALIZABLE as i32 }
}

/// Hands the rows that meet the conditions to `read`, with the snapshot of the lookup (the transaction's, or what is
/// committed by now if `latest`), until it returns a value. `None` if it returns none.
///
/// # Safety
/// Inside [`crate::pg::catch::catching`], in a transaction that holds a lock on the table. `index` is a btree of the
/// table whose first columns are those of the conditions, or invalid: then the table is searched. `read` calls only
/// functions of [`raw`] and owns nothing.
pub unsafe fn first<R>(
    table: Oid,
    index: Oid,
    keys: &mut [ScanKeyData],
    latest: bool,
    mut read: impl FnMut(Relation, Snapshot, HeapTuple) -> Option<R>,
) -> Option<R> {
    let scan_rows = |relation, shown: Snapshot, versions: Snapshot| {
        let (count, keys) = (keys.len() as i32, keys.as_mut_ptr());
        // SAFETY: the caller's promise.
        unsafe {
            let scan = raw::systable_beginscan(relation, index, index != Oid::INVALID, versions, count, keys);
            let mut found = None;
            while found.is_none() {
                let row = raw::systable_getnext(scan);
                if row.is_null() {
                    break;
                }
                if shown == versions || is_visible(relation, (*scan).slot, shown) {
                    found = read(relation, shown, row);
                }
            }
            raw::systable_endscan(scan);
            found
        }
    };
    // SAFETY: the caller's promise.
    unsafe { looking(table, latest, scan_rows) }
}

/// A table and an index of it, open for looks with one snapshot.
pub struct Ordered {
    table: Relation,
    index: Relation,
    slot: *mut TupleTableSlot,
    shown: Snapshot,
    versions: Snapshot,
}

/// Opens an index for looks at what is committed by now, in the order of the index.
///
/// # Safety
/// As [`first`], but for the index, which is one of the table. `look` calls only functions of [`raw`] and owns nothing.
pub unsafe fn in_order<R>(table: Oid, index: Oid, look: impl FnOnce(&Ordered) -> R) -> R {
    let open = |table, shown: Snapshot, versions: Snapshot| {
        // SAFETY: the caller's promise.
        unsafe {
            let index = raw::index_open(index, pg_sys::AccessShareLock as i32);
            let slot = raw::table_slot_create(table, ptr::null_mut());
            let found = look(&Ordered { table, index, slot, shown, versions });
            raw::ExecDropSingleTupleTableSlot(slot);
            raw::relation_close(index, pg_sys::NoLock as i32);
            found
        }
    };
    // SAFETY: the caller's promise.
    unsafe { looking(table, true, open) }
}

impl Ordered {
    /// Hands the rows that meet the conditions to `read`, until it returns a value. The conditions name the columns of
    /// the index by their numbers in it, in rising order.
    ///
    /// # Safety
    /// As [`first`].
    pub unsafe fn first<R>(
        &self,
        keys: &mut [ScanKeyData],
        read: &mut impl FnMut(Relation, Snapshot, HeapTuple) -> Option<R>,
    ) -> Option<R> {
        let Ordered { table, index, slot, shown, versions } = *self;
        let (count, keys) = (keys.len() as i32, keys.as_mut_ptr());
        // SAFETY: the caller's promise. A scan that returns heap tuples has no conditions on their order.
        unsafe {
            let scan = raw::begin_index_scan(table, index, versions, count);
            raw::index_rescan(scan, keys, count, ptr::null_mut(), 0);
            let mut found = None;
            while found.is_none() && raw::index_getnext_slot(scan, ScanDirection::ForwardScanDirection, slot) {
                if shown == versions || is_visible(table, slot, shown) {
                    let mut should_free = false;
                    found = read(table, shown, raw::ExecFetchSlotHeapTuple(slot, false, &mut should_free));
                }
            }
            raw::index_endscan(scan);
            found
        }
    }
}

/// Opens the table and takes a snapshot for a look: what it shows, and what the scan is to return.
///
/// # Safety
/// As [`first`].
unsafe fn looking<R>(table: Oid, latest: bool, look: impl FnOnce(Relation, Snapshot, Snapshot) -> R) -> R {
    // SAFETY: the caller's promise. What is opened here is closed here, or by the abort when an error jumps out. The
    // snapshot is on top of the stack until it is popped.
    unsafe {
        // As SPI does before a statement, so that earlier writes of the transaction are visible.
        raw::CommandCounterIncrement();
        raw::PushActiveSnapshot(match latest {
            true => raw::GetLatestSnapshot(),
            false => raw::GetTransactionSnapshot(),
        });
        let shown = raw::GetActiveSnapshot();
        let relation = raw::table_open(table, pg_sys::NoLock as i32);
        // Under SERIALIZABLE a scan with a snapshot of its own takes predicate locks: on pages of the index, where the
        // rows of other keys are inserted, and these transactions would then fail in each other's way. A scan that
        // returns all versions takes none; which one the snapshot shows is asked of each.
        let versions = match latest && is_serializable() && !sabotage::removed(Guard::NoPredicateLocks) {
            true => &raw mut pg_sys::SnapshotAnyData,
            false => shown,
        };
        let found = look(relation, shown, versions);
        raw::relation_close(relation, pg_sys::NoLock as i32);
        raw::PopActiveSnapshot();
        found
    }
}

/// Whether the snapshot shows the row version in the slot.
///
/// # Safety
/// Inside [`crate::pg::catch::catching`]; a slot of the table, which a scan has just filled.
unsafe fn is_visible(table: Relation, slot: *mut TupleTableSlot, snapshot: Snapshot) -> bool {
    // SAFETY: the caller's promise. Every table access method has this function.
    unsafe {
        let satisfies = (*(*table).rd_tableam).tuple_satisfies_snapshot;
        satisfies.is_none_or(|satisfies| satisfies(table, slot, snapshot))
    }
}

/// The largest value of a bigint column in any row version, also one that is deleted, or not committed. Without a
/// snapshot there is no predicate lock either: under SERIALIZABLE it would conflict with all inserts.
///
/// # Safety
/// As [`first`]; `index` is a btree that begins with the column, or invalid: then the table is searched.
pub unsafe fn largest(table: Oid, index: Oid, column: i16) -> Option<i64> {
    let mut any = pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_ANY, ..Default::default() };
    let any = &raw mut any;
    // SAFETY: the caller's promise. The snapshot outlives the scan. What is opened here is closed here, or by the abort
    // when an error jumps out; the arrays have an element per column.
    unsafe {
        let relation = raw::table_open(table, pg_sys::NoLock as i32);
        let descriptor = (*relation).rd_att;
        let count = (*descriptor).natts as usize;
        let values = raw::palloc(count * size_of::<Datum>()).cast::<Datum>();
        let nulls = raw::palloc(count * size_of::<bool>()).cast::<bool>();
        let at = column as usize - 1;
        let value = |row: HeapTuple| {
            if row.is_null() {
                return None;
            }
            raw::heap_deform_tuple(row, descriptor, values, nulls);
            Some((*values.add(at)).value() as i64)
        };
        let largest = if index == Oid::INVALID {
            let scan = raw::systable_beginscan(relation, index, false, any, 0, ptr::null_mut());
            let mut largest = None;
            while let Some(value) = value(raw::systable_getnext(scan)) {
                largest = largest.max(Some(value));
            }
            raw::systable_endscan(scan);
            largest
        } else {
            let index = raw::index_open(index, pg_sys::AccessShareLock as i32);
            let scan = raw::systable_beginscan_ordered(relation, index, any, 0, ptr::null_mut());
            let largest = value(raw::systable_getnext_ordered(scan, ScanDirection::BackwardScanDirection));
            raw::systable_endscan_ordered(scan);
            raw::relation_close(index, pg_sys::NoLock as i32);
            largest
        };
        raw::relation_close(relation, pg_sys::NoLock as i32);
        largest
    }
}

/// Columns of the rows whose text in a column equals a value, as they are at this moment: also what is not committed.
///
/// # Safety
/// As [`first`], but not inside of `catching`; the numbers are those of columns.
pub unsafe fn dirty<const N: usize>(
    table: Oid,
    index: Oid,
    (column, value): (i16, Datum),
    columns: [i16; N],
) -> Result<Vec<[Option<Datum>; N]>, Error> {
    let mut rows = Vec::new();
    let mut snapshot =
        pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY, ..Default::default() };
    // SAFETY: the caller's promise. What is opened is closed, or by the abort when an error jumps out; the list is
    // outside of the closure.
    unsafe {
        catching(|| {
            // So that what this transaction has written is seen.
            raw::CommandCounterIncrement();
            let mut keys = [scan_key::equals_text(column, value)];
            let relation = raw::table_open(table, pg_sys::NoLock as i32);
            let has_index = index != Oid::INVALID;
            let scan = raw::systable_beginscan(relation, index, has_index, &mut snapshot, 1, keys.as_mut_ptr());
            loop {
                let row = raw::systable_getnext(scan);
                if row.is_null() {
                    break;
                }
                rows.push(fields(relation, raw::heap_copytuple(row), columns));
            }
            raw::systable_endscan(scan);
            raw::relation_close(relation, pg_sys::NoLock as i32);
        })?;
    }
    Ok(rows)
}
