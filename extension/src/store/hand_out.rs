//! Hands waiting work to a service, without a statement: its rows are locked first, but for those that others have
//! locked, and then get the service and a token.

use super::columns::Columns;
use super::lookup::fields;
use super::queue::Queue;
use super::tables::Tables;
use super::update::update;
use super::waiting::Waiting;
use super::write::{suppressed, with_table};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::owner::AsRole;
use crate::pg::spi::{Arg, arg};
use crate::sabotage::{self, Guard};
use pgrx::FromDatum;
use pgrx::datum::Uuid;
use pgrx::pg_sys::{self, HeapTuple, LockTupleMode, LockWaitPolicy, Relation, Snapshot, TM_Result, TimestampTz};
use std::ptr;

/// Rows of the queue that this transaction has locked.
#[derive(Default)]
pub struct Locked {
    /// In the memory context that was current.
    pub rows: Vec<HeapTuple>,
    /// A row was found that another transaction had changed after the look began. Its new version may wait as well.
    pub saw_change: bool,
}

/// A piece of work as it is handed out, in the memory context that was current: token, work_id, resource_type,
/// resource_id, lock_name, status, operation, attempt, crashed_service_id, details.
pub type HandedOut = [Arg; 10];

/// Locks `workers` for a write, as a statement that hands out work does before it locks a row.
pub fn lock_table(tables: &Tables) -> Result<(), Error> {
    // SAFETY: locks by the table's oid; the closure owns nothing.
    unsafe { catching(|| raw::LockRelationOid(tables.workers, pg_sys::RowExclusiveLock as i32)) }
}

impl Locked {
    /// Locks the work of a lane that is due at a time, from `first` on, until there are `most` rows. Returns the first
    /// work behind the place in the queue of another lane's, if it came that far: that one's turn is next.
    pub fn add(
        &mut self,
        queue: &Queue,
        first: &Waiting,
        other: Option<(TimestampTz, i64)>,
        time: TimestampTz,
        most: usize,
    ) -> Result<Option<Waiting>, Error> {
        let place = queue.place(first);
        let Locked { rows, saw_change } = self;
        let columns = [queue.tables.columns.not_before, queue.tables.columns.work_id];
        let mut behind = None;
        let mut add = |table, snapshot, row| {
            if let Some(other) = other {
                // SAFETY: inside of `look`, and the columns are of these types.
                let [not_before, work_id] = unsafe { fields(table, row, columns) };
                let number = |field: Arg| field.map_or(0, |field| field.value() as i64);
                let at = (number(not_before), number(work_id));
                if at > other {
                    behind = Some(at);
                    return Some(());
                }
            }
            // SAFETY: inside of `look`; the table is locked for a write.
            match unsafe { lock(table, snapshot, row) } {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => {}
                Err(Changed) => *saw_change = true,
            }
            (rows.len() >= most).then_some(())
        };
        // SAFETY: the closures own nothing; the list is outside of them.
        unsafe { queue.look(|scan| queue.each_due(scan, &place, time, &mut add))? };
        Ok(behind.map(|(not_before, work_id)| Waiting { not_before, work_id, ..first.clone() }))
    }
}

/// The row has a version that the look doesn't see.
struct Changed;

/// A copy of the row, if it could be locked at once.
///
/// # Safety
/// As the `read` of [`super::index_scan::first`].
unsafe fn lock(table: Relation, snapshot: Snapshot, row: HeapTuple) -> Result<Option<HeapTuple>, Changed> {
    // SAFETY: the caller's promise. Every table access method has the function.
    unsafe {
        let Some(tuple_lock) = (*(*table).rd_tableam).tuple_lock else { return Ok(None) };
        let mut tid = (*row).t_self;
        let slot = raw::table_slot_create(table, ptr::null_mut());
        let command = raw::GetCurrentCommandId(true);
        let mode = LockTupleMode::LockTupleExclusive;
        // Without the guard it waits, and takes the row as the other one has left it.
        let (policy, flags) = match sabotage::removed(Guard::TakeLocked) {
            false => (LockWaitPolicy::LockWaitSkip, 0),
            true => (LockWaitPolicy::LockWaitBlock, pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION as u8),
        };
        let mut failure = pg_sys::TM_FailureData::default();
        let locked = match tuple_lock(table, &mut tid, snapshot, slot, command, mode, policy, flags, &mut failure) {
            TM_Result::TM_Ok => {
                let mut should_free = false;
                let row = raw::ExecFetchSlotHeapTuple(slot, false, &mut should_free);
                Ok(Some(raw::heap_copytuple(row)))
            }
            TM_Result::TM_Updated => Err(Changed),
            // Locked by another transaction, or gone.
            _ => Ok(None),
        };
        raw::ExecDropSingleTupleTableSlot(slot);
        locked
    }
}

/// Gives rows, which are locked, to a service, each under its token, and all under the request id of the call.
pub fn hand_out(
    tables: &Tables,
    rows: &[HeapTuple],
    tokens: &[i64],
    service_id: i64,
    request_id: Arg,
) -> Result<Vec<HandedOut>, Error> {
    let columns = &tables.columns;
    // SAFETY: reads the clock.
    let now = arg(unsafe { pg_sys::GetCurrentTimestamp() });
    let changes = [
        (columns.service_id, arg(service_id)),
        (columns.request_id, request_id),
        (columns.acquired_at, now),
        (columns.updated_at, now),
    ];
    let numbers = numbers(columns);
    let _owner = AsRole::owner()?;
    let mut written = Vec::with_capacity(rows.len());
    // SAFETY: the table is locked for a write, and the rows are; the closures own nothing. The list is outside of them.
    // The values are of their columns' types, and the new versions are in memory that outlives the statement.
    let all = unsafe {
        catching(|| {
            with_table(tables, |table, target, state| {
                raw::ExecOpenIndices(target, false);
                let slot = raw::MakeSingleTupleTableSlot((*table).rd_att, &raw const pg_sys::TTSOpsHeapTuple);
                let all = rows.iter().zip(tokens).all(|(row, token)| {
                    raw::ExecStoreHeapTuple(*row, slot, false);
                    let [service, request, acquired, updated] = changes;
                    let changes = [(columns.token, arg(*token)), service, request, acquired, updated];
                    let Some(version) = update(table, target, state, slot, &changes) else { return false };
                    written.push(fields(table, version, numbers));
                    true
                });
                raw::ExecDropSingleTupleTableSlot(slot);
                raw::ExecCloseIndices(target);
                all
            })
        })?
    };
    match all {
        // What the service has it must be told.
        true => written.into_iter().map(handed_out).collect::<Option<_>>().ok_or_else(emptied),
        false => Err(suppressed("update of")),
    }
}

fn emptied() -> Error {
    Error::Unsupported {
        what: "a trigger of volguard.workers made a column of work NULL that no work is without".to_owned(),
        hint: "Drop the trigger: the table is volguard's alone.",
    }
}

/// What a service was given under a request id and still has, in the order of the tokens.
pub fn under_request(tables: &Tables, service_id: i64, request_id: Uuid) -> Result<Vec<HandedOut>, Error> {
    let mut rows = tables.rows_of(service_id)?;
    rows.retain(|row| row.request_id == Some(request_id) && !row.claimed);
    rows.sort_unstable_by_key(|row| row.token);
    let mut found = Vec::new();
    for row in rows {
        found.extend(tables.row_of(row.token, numbers(&tables.columns))?.and_then(handed_out));
    }
    Ok(found)
}

fn numbers(columns: &Columns) -> [i16; 10] {
    let [resource_id, resource_type, lock_name] = columns.key;
    [
        columns.token,
        columns.work_id,
        resource_type,
        resource_id,
        lock_name,
        columns.status,
        columns.operation,
        columns.attempt,
        columns.retried_from,
        columns.details,
    ]
}

/// `None` for a plain lock, or a row that a trigger has emptied.
fn handed_out(mut fields: HandedOut) -> Option<HandedOut> {
    const OPERATION: usize = 6;
    const OPTIONAL: [usize; 3] = [OPERATION, 8, 9];
    // SAFETY: a text, in a copy of the row.
    let operation = unsafe { fields[OPERATION].and_then(|field| <&str>::from_datum(field, false)) };
    if operation.is_some_and(str::is_empty) {
        fields[OPERATION] = None;
    }
    let is_there = |(at, field): (usize, &Arg)| field.is_some() || OPTIONAL.contains(&at);
    fields.iter().enumerate().all(is_there).then_some(fields)
}
