//! The first row that an index finds, and the largest value in it, without a statement: starting one would cost more
//! than the lookup.

use crate::pg::catch::raw;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation, ScanDirection, ScanKeyData, Snapshot, TupleTableSlot};
use std::ptr;

/// The condition `column = value`, where `equals` is the function that compares.
///
/// # Safety
/// `equals` compares two values of the column's type as its index does, and `value` is one.
pub unsafe fn equals(column: i16, equals: Oid, collation: Oid, value: Datum) -> ScanKeyData {
    let mut key = ScanKeyData::default();
    let strategy = pg_sys::BTEqualStrategyNumber as u16;
    // SAFETY: the key is a local variable; the caller's promise.
    unsafe {
        raw::ScanKeyEntryInitialize(&mut key, 0, column, strategy, Oid::INVALID, collation, equals, value);
    }
    key
}

/// `column = value` for a bigint.
///
/// # Safety
/// The column is a bigint.
pub unsafe fn equals_number(column: i16, value: i64) -> ScanKeyData {
    let (function, value) = (Oid::from(pg_sys::F_INT8EQ), Datum::from(value));
    // SAFETY: the function is that of the type, as is the value.
    unsafe { equals(column, function, Oid::INVALID, value) }
}

/// `column = value` for a text that is compared byte by byte.
///
/// # Safety
/// The column is a text of collation "C", and `value` is a text.
pub unsafe fn equals_text(column: i16, value: Datum) -> ScanKeyData {
    let function = Oid::from(pg_sys::F_TEXTEQ);
    // SAFETY: the function is that of the type; the value is one, as the caller promises.
    unsafe { equals(column, function, pg_sys::C_COLLATION_OID, value) }
}

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
    // SAFETY: the caller's promise. What is opened here is closed here, or by the abort when an error jumps out. The
    // snapshot is on top of the stack until it is popped.
    unsafe {
        // As SPI does before a statement, so that earlier writes of the transaction are visible.
        raw::CommandCounterIncrement();
        raw::PushActiveSnapshot(match latest {
            true => raw::GetLatestSnapshot(),
            false => raw::GetTransactionSnapshot(),
        });
        let snapshot = raw::GetActiveSnapshot();
        let relation = raw::table_open(table, pg_sys::NoLock as i32);
        let (count, keys) = (keys.len() as i32, keys.as_mut_ptr());
        let has_index = index != Oid::INVALID;
        // Under SERIALIZABLE a scan with a snapshot of its own takes predicate locks: on pages of the index, where the
        // rows of other keys are inserted, and these transactions would then fail in each other's way. A scan that
        // returns all versions takes none; which one the snapshot shows is asked of each.
        let all_versions = latest && is_serializable() && !sabotage::removed(Guard::NoPredicateLocks);
        let versions = match all_versions {
            true => &raw mut pg_sys::SnapshotAnyData,
            false => snapshot,
        };
        let scan = raw::systable_beginscan(relation, index, has_index, versions, count, keys);
        let mut found = None;
        while found.is_none() {
            let row = raw::systable_getnext(scan);
            if row.is_null() {
                break;
            }
            if !all_versions || is_visible(relation, (*scan).slot, snapshot) {
                found = read(relation, snapshot, row);
            }
        }
        raw::systable_endscan(scan);
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
