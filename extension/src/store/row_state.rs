//! Whether a transaction is writing a row of `workers` at this moment, which no snapshot of SQL shows.

use super::tables::Tables;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, ItemPointerData, Oid, TransactionId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// As it was seen. A lock on the row is not a change.
    Unchanged,
    /// Deleted or replaced since it was seen, or elsewhere in a table that was rewritten.
    Gone,
    /// Being deleted or replaced by a transaction that has not ended.
    Changing(TransactionId),
}

/// The state of the row version at `tid`, seen through a dirty snapshot, as a unique index sees it. In another
/// file than that in which it was found it may be anywhere.
pub fn of(tid: &ItemPointerData, file: Oid) -> Result<RowState, Error> {
    let tables = Tables::open()?;
    if tables.workers_file != file {
        return Ok(RowState::Gone);
    }
    let workers = tables.workers;
    // SAFETY: the table is open, and locked against changes of its definition, while the tuple is read. The zeroed
    // snapshot gets the one field that a dirty snapshot needs; the fetch sets the others. The buffer is released if the
    // fetch has pinned it.
    unsafe {
        let relation = pg_sys::table_open(workers, pg_sys::AccessShareLock as i32);
        let mut snapshot =
            pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY, ..Default::default() };
        let mut tuple = pg_sys::HeapTupleData { t_self: *tid, ..Default::default() };
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
