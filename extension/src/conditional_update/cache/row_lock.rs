//! The lock on one row, taken through its unique index. It does what `SELECT … FOR UPDATE` does, without the cost of
//! starting and ending a statement.
//!
//! It reads the table itself. So where the rows are elsewhere (in partitions, in children, on other nodes behind a
//! table that is only a shell), it finds none, and the statement decides.

use crate::conditional_update::catalog::table::{Column, Table};
use crate::conditional_update::catalog::unique::{self, KeyColumn};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::Arg;
use crate::sabotage::{self, Guard};
use crate::store::{index_scan, scan_key};
use pgrx::pg_sys::{self, HeapTuple, Oid, Relation, ScanKeyData, Snapshot};

/// How many columns a key may have here. Keys in use have no more.
const MOST_COLUMNS: usize = 4;

#[derive(Debug)]
pub struct RowLock {
    table: Oid,
    index: Oid,
    columns: Vec<KeyColumn>,
}

impl RowLock {
    /// `None` unless the columns, none of them NULL, are those of a unique index, and the table has no children and is
    /// stored as a heap.
    pub fn new(table: &Table, key: &[Column]) -> Option<Self> {
        if key.is_empty() || key.len() > MOST_COLUMNS || !table.stands_alone() || !table.is_heap() {
            return None;
        }
        let (index, columns) = unique::exactly(table, key)?;
        Some(RowLock { table: table.oid(), index, columns })
    }

    /// Locks the row as it is now, under READ COMMITTED. False if only a statement can tell more: the row is missing
    /// or has just changed, or a privilege or a policy decides.
    pub fn take(&self, key: &[Arg]) -> Result<bool, Error> {
        if !self.is_allowed() {
            return Ok(false);
        }
        let (table, index) = (self.table, self.index);
        let columns = &self.columns;
        // SAFETY: the transaction holds the table's lock, and the catalog is the one in which the index was found.
        // The closure owns nothing.
        let locked = unsafe {
            catching(|| {
                let mut keys = [ScanKeyData::default(); MOST_COLUMNS];
                for ((scan_key, column), value) in keys.iter_mut().zip(columns).zip(key) {
                    let value = (*value)?;
                    *scan_key = scan_key::equals(column.number, column.equals, column.collation, value);
                }
                let keys = &mut keys[..columns.len()];
                index_scan::first(table, index, keys, false, |table, snapshot, row| Some(lock(table, snapshot, row)))
            })?
        };
        Ok(locked == Some(true))
    }

    /// A role that may not update the table must not make others wait for its rows, nor for rows that a policy hides
    /// from it.
    fn is_allowed(&self) -> bool {
        // SAFETY: catalog look-ups of a running transaction.
        unsafe {
            let update = pg_sys::ACL_UPDATE as pg_sys::AclMode;
            pg_sys::pg_class_aclcheck(self.table, owner::caller(), update) == pg_sys::AclResult::ACLCHECK_OK
                && pg_sys::check_enable_rls(self.table, Oid::INVALID, true) as u32
                    != pg_sys::CheckEnableRlsResult::RLS_ENABLED
        }
    }
}

/// Locks a row as it is now. False if it has changed or is gone.
///
/// # Safety
/// As what [`index_scan::first`] hands a row to.
unsafe fn lock(relation: Relation, snapshot: Snapshot, row: HeapTuple) -> bool {
    const FLAGS: u32 = pg_sys::TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
    // SAFETY: the row was just found, its table is open and the snapshot active.
    unsafe {
        let slot = raw::table_slot_create(relation, std::ptr::null_mut());
        let mut row_id = (*row).t_self;
        let mut failure = pg_sys::TM_FailureData::default();
        let mode = match sabotage::removed(Guard::KeyLock) {
            false => pg_sys::LockTupleMode::LockTupleExclusive,
            true => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
        };
        let tuple_lock = (*(*relation).rd_tableam).tuple_lock;
        let result = tuple_lock.map(|tuple_lock| {
            tuple_lock(
                relation,
                &mut row_id,
                snapshot,
                slot,
                raw::GetCurrentCommandId(true),
                mode,
                pg_sys::LockWaitPolicy::LockWaitBlock,
                FLAGS as u8,
                &mut failure,
            )
        });
        raw::ExecDropSingleTupleTableSlot(slot);
        // A later version may have another key.
        result == Some(pg_sys::TM_Result::TM_Ok) && !failure.traversed
    }
}
