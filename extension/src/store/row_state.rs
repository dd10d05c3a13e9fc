//! Is a transaction writing a row of `workers` at this moment? No snapshot of SQL tells.

use super::tables::Tables;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, ItemPointerData, TransactionId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// As it was seen. A lock on the row is no change.
    Unchanged,
    /// Deleted or replaced since it was seen.
    Gone,
    /// Being deleted or replaced by a transaction that hasn't ended.
    Changing(TransactionId),
}

/// Looks at the row version at `place` with the eyes of a unique index: through a dirty snapshot.
pub fn of(place: &ItemPointerData) -> Result<RowState, Error> {
    let workers = Tables::open()?.workers;
    // SAFETY: the table is open, and locked against changes of its definition, while the tuple is read; the zeroed
    // snapshot gets the one field that a dirty snapshot needs, and has the other two filled in by the look; the buffer
    // is released when the look pinned it.
    unsafe {
        let relation = pg_sys::table_open(workers, pg_sys::AccessShareLock as i32);
        let mut snapshot = pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY,
            ..Default::default()
        };
        let mut tuple = pg_sys::HeapTupleData {
            t_self: *place,
            ..Default::default()
        };
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        let there = pg_sys::heap_fetch(relation, &mut snapshot, &mut tuple, &mut buffer, false);
        if buffer != pg_sys::InvalidBuffer as pg_sys::Buffer {
            pg_sys::ReleaseBuffer(buffer);
        }
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        Ok(match there {
            false => RowState::Gone,
            true if snapshot.xmax == TransactionId::INVALID => RowState::Unchanged,
            true => RowState::Changing(snapshot.xmax),
        })
    }
}
