//! The first row that an index finds, without a statement: for looks that would cost more to start than to do.

use crate::pg::catch::raw;
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, Relation, ScanKeyData, Snapshot};

/// `column = value`, by the number of the table's column and the function that compares.
///
/// # Safety
/// `equals` compares two values of the column's type as its index does, and `value` is one.
pub unsafe fn equals(column: i16, equals: Oid, collation: Oid, value: Datum) -> ScanKeyData {
    let mut key = ScanKeyData::default();
    let strategy = pg_sys::BTEqualStrategyNumber as u16;
    // SAFETY: a key of ours; the caller's promise.
    unsafe {
        raw::ScanKeyEntryInitialize(
            &mut key,
            0,
            column,
            strategy,
            Oid::INVALID,
            collation,
            equals,
            value,
        );
    }
    key
}

/// Hands the first row that has the keys to `read`, with the snapshot that it was found by, which is what the transaction
/// sees at this moment or, if `latest`, what is committed. `None` if there is none.
///
/// # Safety
/// Inside [`crate::pg::catch::catching`], in a transaction that holds a lock on the table. `index` is a btree of it that has the
/// keys' columns in front, or invalid. `read` calls nothing but functions of [`raw`] and owns nothing.
pub unsafe fn first<R>(
    table: Oid,
    index: Oid,
    keys: &mut [ScanKeyData],
    latest: bool,
    read: impl FnOnce(Relation, Snapshot, HeapTuple) -> R,
) -> Option<R> {
    // SAFETY: the caller's promise; all that is opened here is closed here, or by the abort when an error jumps out. The
    // snapshot is on top of the stack until it is taken off.
    unsafe {
        // As SPI does before a statement, so that what the transaction did just before is seen.
        raw::CommandCounterIncrement();
        raw::PushActiveSnapshot(match latest {
            true => raw::GetLatestSnapshot(),
            false => raw::GetTransactionSnapshot(),
        });
        let snapshot = raw::GetActiveSnapshot();
        let relation = raw::table_open(table, pg_sys::NoLock as i32);
        let (count, keys) = (keys.len() as i32, keys.as_mut_ptr());
        let has_index = index != Oid::INVALID;
        let scan = raw::systable_beginscan(relation, index, has_index, snapshot, count, keys);
        let row = raw::systable_getnext(scan);
        let found = match row.is_null() {
            true => None,
            false => Some(read(relation, snapshot, row)),
        };
        raw::systable_endscan(scan);
        raw::relation_close(relation, pg_sys::NoLock as i32);
        raw::PopActiveSnapshot();
        found
    }
}
