//! Writes one row of `workers` without the start and end of a statement, by the executor's functions with which logical
//! replication applies rows. They respect what is on the table: indexes, constraints, row triggers, and the replica
//! identity that a publication needs.

use super::key::Key;
use super::lookup::{Held, fields};
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::owner::AsRole;
use crate::pg::spi::{Arg, arg};
use pgrx::pg_sys::{
    self, CommandId, Datum, EState, ItemPointerData, LockTupleMode, LockWaitPolicy, Relation, ResultRelInfo, Snapshot,
    TM_Result, TimestampTz, TupleTableSlot,
};
use std::ffi::CStr;
use std::ptr;

/// The unique index on the token.
const TOKEN_KEY: &str = "workers_token_key";

/// The row of a new lock.
pub struct NewRow<'a> {
    pub key: &'a Key<'a>,
    pub token: i64,
    /// `None` for work that waits for one.
    pub service_id: Option<i64>,
    pub cluster: Arg,
    pub status: Arg,
    pub request_id: Arg,
    pub details: Arg,
    pub acquired_at: TimestampTz,
    pub submitted: Option<&'a Submitted<'a>>,
}

/// What the row of submitted work has beyond that of a lock.
#[derive(Debug)]
pub struct Submitted<'a> {
    /// Empty for none.
    pub operation: &'a str,
    /// Empty for any.
    pub host: &'a str,
    pub priority: i32,
    /// `None`: at once.
    pub not_before: Option<TimestampTz>,
    pub submitted_by: &'a CStr,
    pub request_id: Arg,
}

/// The result of a delete.
enum Deleted {
    Row { had_status: bool, can_be_vetoed: bool },
    NotThere,
}

/// Inserts a row. Only for a free key, as head of its queue: otherwise the unique index raises an error.
pub fn insert(tables: &Tables, row: &NewRow) -> Result<(), Error> {
    let columns = &tables.columns;
    let acquired_at = arg(row.acquired_at);
    let [resource_id, resource_type, lock_name] = row.key.datums();
    let mut fields = vec![
        (columns.key[0], Some(resource_id)),
        (columns.key[1], Some(resource_type)),
        (columns.key[2], Some(lock_name)),
        (columns.cluster, row.cluster),
        (columns.token, arg(row.token)),
        (columns.service_id, row.service_id.and_then(arg)),
        (columns.status, row.status),
        (columns.request_id, row.request_id),
        (columns.details, row.details),
        (columns.acquired_at, acquired_at),
        (columns.updated_at, acquired_at),
    ];
    if let Some(submitted) = row.submitted {
        let not_before = submitted.not_before.map_or(row.acquired_at, |at| at.max(row.acquired_at));
        fields.extend([
            (columns.work_id, arg(row.token)),
            (columns.operation, arg(submitted.operation)),
            (columns.host, arg(submitted.host)),
            (columns.priority, arg(submitted.priority)),
            (columns.not_before, arg(not_before)),
            (columns.attempt, arg(1)),
            (columns.submitted_by, arg(submitted.submitted_by)),
            (columns.submit_request, submitted.request_id),
        ]);
    }
    let _owner = AsRole::owner()?;
    // SAFETY: the table is locked for a read, so it exists; the closure owns nothing.
    let inserted =
        unsafe { catching(|| with_table(tables, |table, target, state| insert_into(table, target, state, &fields))) };
    match inserted {
        Ok(true) => Ok(()),
        Ok(false) => Err(suppressed("insert into")),
        Err(Error::Postgres(error)) if error.constraint() == TOKEN_KEY => Err(Error::TokenInUse(row.token)),
        Err(other) => Err(other),
    }
}

/// Deletes the row of a token, after waiting for transactions that have it locked. Returns whether it had a status;
/// `None` if the token has no row any more.
pub fn delete(tables: &Tables, held: &Held) -> Result<Option<bool>, Error> {
    let Some(place) = held.place(tables)? else {
        return Ok(None);
    };
    let _owner = AsRole::owner()?;
    // SAFETY: as above.
    let deleted = unsafe {
        catching(|| {
            with_table(tables, |table, target, state| {
                let slot = raw::table_slot_create(table, ptr::null_mut());
                let deleted = delete_from(tables, table, target, state, slot, (held.token, place));
                raw::ExecDropSingleTupleTableSlot(slot);
                deleted
            })
        })?
    };
    match deleted {
        Deleted::NotThere => Ok(None),
        // The executor doesn't report that a BEFORE trigger returned NULL.
        Deleted::Row { can_be_vetoed: true, .. } if tables.held(held.token)?.is_some() => {
            Err(suppressed("delete from"))
        }
        Deleted::Row { had_status, .. } => Ok(Some(had_status)),
    }
}

/// Locks the row of a token against its removal until the transaction ends. A change of its status doesn't wait for the
/// lock. False if the token has no row any more.
pub fn hold(tables: &Tables, held: &Held) -> Result<bool, Error> {
    let Some(place) = held.place(tables)? else {
        return Ok(false);
    };
    // SAFETY: the table is locked for a read, so it exists; the closure owns nothing. What is opened is closed, or left
    // to the abort when an error jumps out; the lock on the table stays, as the one on the row does.
    unsafe {
        catching(|| {
            let table = raw::table_open(tables.workers, pg_sys::RowShareLock as i32);
            let slot = raw::table_slot_create(table, ptr::null_mut());
            raw::PushActiveSnapshot(raw::GetLatestSnapshot());
            let (snapshot, command) = (raw::GetActiveSnapshot(), raw::GetCurrentCommandId(true));
            let mode = LockTupleMode::LockTupleKeyShare;
            let locked = lock_row(tables, table, slot, (held.token, place), mode, snapshot, command);
            raw::PopActiveSnapshot();
            raw::ExecDropSingleTupleTableSlot(slot);
            raw::relation_close(table, pg_sys::NoLock as i32);
            locked.is_some()
        })
    }
}

pub fn suppressed(write: &'static str) -> Error {
    Error::Suppressed { write, table: "volguard.workers".to_owned() }
}

/// Opens `workers` for a write, as the executor does.
///
/// # Safety
/// Inside [`catching`]; the same holds for `body`.
pub unsafe fn with_table<R>(tables: &Tables, body: impl FnOnce(Relation, *mut ResultRelInfo, *mut EState) -> R) -> R {
    // SAFETY: what is opened here is closed here, or by the abort when an error jumps out; the lock stays. Memory that
    // the executor allocates is freed with its state.
    unsafe {
        let table = raw::table_open(tables.workers, pg_sys::RowExclusiveLock as i32);
        let state = raw::CreateExecutorState();
        let target = raw::palloc0(size_of::<ResultRelInfo>()).cast::<ResultRelInfo>();
        (*target).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        // Zero, as there is no range table, into which an error that names a row's values would look.
        raw::InitResultRelInfo(target, table, 0, ptr::null_mut(), 0);
        raw::PushActiveSnapshot(raw::GetLatestSnapshot());
        (*state).es_snapshot = raw::GetActiveSnapshot();
        (*state).es_output_cid = raw::GetCurrentCommandId(true);
        let has_triggers = !(*target).ri_TrigDesc.is_null();
        if has_triggers {
            raw::AfterTriggerBeginQuery();
        }

        let result = body(table, target, state);

        if has_triggers {
            raw::AfterTriggerEndQuery(state);
            raw::ExecCloseResultRelations(state);
            raw::ExecResetTupleTable((*state).es_tupleTable, false);
        }
        raw::PopActiveSnapshot();
        raw::FreeExecutorState(state);
        raw::relation_close(table, pg_sys::NoLock as i32);
        // Makes the write visible to the rest of the transaction.
        raw::CommandCounterIncrement();
        result
    }
}

/// False if a BEFORE trigger returned NULL.
///
/// # Safety
/// As the body of [`with_table`]; the fields are of their columns' types.
unsafe fn insert_into(table: Relation, target: *mut ResultRelInfo, state: *mut EState, fields: &[(i16, Arg)]) -> bool {
    // SAFETY: the caller's promise; the slot has room for a field per column.
    unsafe {
        let slot = raw::MakeSingleTupleTableSlot((*table).rd_att, &raw const pg_sys::TTSOpsVirtual);
        let columns = (*(*table).rd_att).natts as usize;
        std::slice::from_raw_parts_mut((*slot).tts_isnull, columns).fill(true);
        for (number, field) in fields {
            let at = *number as usize - 1;
            *(*slot).tts_values.add(at) = field.unwrap_or(Datum::null());
            *(*slot).tts_isnull.add(at) = field.is_none();
        }
        raw::ExecStoreVirtualTuple(slot);
        raw::ExecOpenIndices(target, false);
        raw::ExecSimpleRelationInsert(target, state, slot);
        raw::ExecCloseIndices(target);
        // The tid of the new row, which stays unset if a BEFORE trigger returned NULL.
        let inserted = (*slot).tts_tid.ip_posid != 0;
        raw::ExecDropSingleTupleTableSlot(slot);
        inserted
    }
}

/// Locks the latest version of the row first: the executor's delete raises an error if it meets another writer.
///
/// # Safety
/// As the body of [`with_table`]; the slot is of the table, and `row` is a token and the place of a version of its row.
unsafe fn delete_from(
    tables: &Tables,
    table: Relation,
    target: *mut ResultRelInfo,
    state: *mut EState,
    slot: *mut TupleTableSlot,
    row: (i64, ItemPointerData),
) -> Deleted {
    // SAFETY: the caller's promise. The state for a recheck is zeroed because it is never used: the row is locked, so a
    // trigger needs no recheck.
    unsafe {
        let (snapshot, command) = ((*state).es_snapshot, (*state).es_output_cid);
        let mode = LockTupleMode::LockTupleExclusive;
        let Some(had_status) = lock_row(tables, table, slot, row, mode, snapshot, command) else {
            return Deleted::NotThere;
        };
        let recheck = raw::palloc0(size_of::<pg_sys::EPQState>()).cast();
        raw::ExecSimpleRelationDelete(target, state, recheck, slot);
        let triggers = (*target).ri_TrigDesc;
        Deleted::Row { had_status, can_be_vetoed: !triggers.is_null() && (*triggers).trig_delete_before_row }
    }
}

/// Locks the latest version of the row of a token, and returns whether it has a status. `None` if the token has no row
/// any more.
///
/// # Safety
/// Inside [`catching`], with the snapshot active; the slot is of the table, which is open, and the tid is the place of
/// a version of the row.
pub unsafe fn lock_row(
    tables: &Tables,
    table: Relation,
    slot: *mut TupleTableSlot,
    (token, mut tid): (i64, ItemPointerData),
    mode: LockTupleMode::Type,
    snapshot: Snapshot,
    command: CommandId,
) -> Option<bool> {
    const FLAGS: u32 = pg_sys::TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: the caller's promise.
    unsafe {
        // Every table access method has this function.
        let tuple_lock = (*(*table).rd_tableam).tuple_lock?;
        let block = LockWaitPolicy::LockWaitBlock;
        let locked = tuple_lock(table, &mut tid, snapshot, slot, command, mode, block, FLAGS as u8, &mut failure);
        if locked != TM_Result::TM_Ok {
            return None;
        }
        let mut should_free = false;
        let row = raw::ExecFetchSlotHeapTuple(slot, false, &mut should_free);
        let [found, status] = fields(table, row, [tables.columns.token, tables.columns.status]);
        // A claim puts another token into the row, and so does its return.
        (found == Some(Datum::from(token))).then_some(status.is_some())
    }
}
