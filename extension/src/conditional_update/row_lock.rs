//! The lock on one row, taken through its unique index: what `SELECT … FOR NO KEY UPDATE` does, without a statement's start
//! and end.

use super::target::{Column, Table};
use super::unique;
use crate::catch::{catching, raw};
use crate::error::Error;
use crate::owner;
use crate::spi::Arg;
use pgrx::pg_sys::{self, Oid, ScanKeyData};

/// As many columns as a key may have here; none that is in use has more.
const MOST_COLUMNS: usize = 4;

#[derive(Debug)]
pub struct RowLock {
    table: Oid,
    index: Oid,
    columns: Vec<KeyColumn>,
}

/// A column of the key, and the function that finds equal ones in the index.
#[derive(Clone, Copy, Debug)]
pub struct KeyColumn {
    pub number: i16,
    pub collation: Oid,
    pub equals: Oid,
}

impl RowLock {
    /// `None` unless the columns, none of them NULL, are those of a unique index of a table without children.
    pub fn new(table: &Table, key: &[Column]) -> Option<Self> {
        if key.is_empty() || key.len() > MOST_COLUMNS || !table.stands_alone() {
            return None;
        }
        let (index, columns) = unique::exactly(table, key)?;
        Some(RowLock {
            table: table.oid(),
            index,
            columns,
        })
    }

    /// Locks the row as it is now, under READ COMMITTED. False if that takes a statement: there is no such row or it has just changed, or more decides than
    /// the key does.
    pub fn take(&self, key: &[Arg]) -> Result<bool, Error> {
        if !self.is_allowed() {
            return Ok(false);
        }
        let mut keys = [ScanKeyData::default(); MOST_COLUMNS];
        let count = self.columns.len();
        for ((place, column), value) in keys.iter_mut().zip(&self.columns).zip(key) {
            let Some(value) = *value else {
                return Ok(false);
            };
            // SAFETY: an element of ours; the function is one that the index is searched with.
            unsafe {
                pg_sys::ScanKeyEntryInitialize(
                    place,
                    0,
                    column.number,
                    pg_sys::BTEqualStrategyNumber as u16,
                    Oid::INVALID,
                    column.collation,
                    column.equals,
                    value,
                );
            }
        }
        let (table, index, keys) = (self.table, self.index, keys.as_mut_ptr());
        // SAFETY: the keys outlive the call. The transaction holds the table's lock and the catalog is as it was when
        // the index was found. The closure owns nothing; what it opened when an error jumps out, the abort closes.
        unsafe { catching(|| lock(table, index, keys, count as i32)) }
    }

    /// Who may not update the table must not make others wait for its rows, nor for those that a policy hides from him.
    fn is_allowed(&self) -> bool {
        // SAFETY: catalog look-ups of a running transaction.
        unsafe {
            let update = pg_sys::ACL_UPDATE as pg_sys::AclMode;
            pg_sys::pg_class_aclcheck(self.table, owner::caller(), update)
                == pg_sys::AclResult::ACLCHECK_OK
                && pg_sys::check_enable_rls(self.table, Oid::INVALID, true) as u32
                    != pg_sys::CheckEnableRlsResult::RLS_ENABLED
        }
    }
}

/// # Safety
/// Inside [`catching`]; `keys` are `count` keys of a unique index of the table, whose lock the transaction holds.
unsafe fn lock(table: Oid, index: Oid, keys: *mut ScanKeyData, count: i32) -> bool {
    const FLAGS: u32 =
        pg_sys::TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
    // SAFETY: the caller's promise; all that is opened here is closed here, and the snapshot is the top one until then.
    unsafe {
        // As SPI does before a statement, so that what the transaction did just before is seen.
        raw::CommandCounterIncrement();
        raw::PushActiveSnapshot(raw::GetTransactionSnapshot());
        let snapshot = pg_sys::GetActiveSnapshot();
        let relation = raw::table_open(table, pg_sys::NoLock as i32);
        let scan = raw::systable_beginscan(relation, index, true, snapshot, count, keys);
        let row = raw::systable_getnext(scan);
        let mut locked = false;
        if !row.is_null() {
            let slot = raw::table_slot_create(relation, std::ptr::null_mut());
            let mut place = (*row).t_self;
            let mut failure = pg_sys::TM_FailureData::default();
            let tuple_lock = (*(*relation).rd_tableam).tuple_lock;
            let result = tuple_lock.map(|tuple_lock| {
                tuple_lock(
                    relation,
                    &mut place,
                    snapshot,
                    slot,
                    raw::GetCurrentCommandId(true),
                    pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
                    pg_sys::LockWaitPolicy::LockWaitBlock,
                    FLAGS as u8,
                    &mut failure,
                )
            });
            // A version that came later may have another key.
            locked = result == Some(pg_sys::TM_Result::TM_Ok) && !failure.traversed;
            raw::ExecDropSingleTupleTableSlot(slot);
        }
        raw::systable_endscan(scan);
        raw::relation_close(relation, pg_sys::NoLock as i32);
        raw::PopActiveSnapshot();
        locked
    }
}
