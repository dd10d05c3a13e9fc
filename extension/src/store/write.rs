//! Writes one row of `workers` without a statement, as logical replication applies a row: for the two verbs that every
//! operation of a volume manager calls.
//!
//! Where triggers have been put on the table, a statement does it, since they expect one. What else may have been put there is
//! for the executor's functions.

mod indexes;
mod plain;

use super::place;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::spi::Arg;
use pgrx::pg_sys::{self, Datum, ItemPointerData, Relation};
use std::ffi::CStr;

/// Inserts the row of a token with these fields, each beside the number of its column; the other columns become NULL. False, and
/// nothing done, if that takes a statement.
pub fn insert<const N: usize>(
    tables: &Tables,
    verb: &CStr,
    token: i64,
    fields: [(i16, Arg); N],
) -> Result<bool, Error> {
    let verb = verb.as_ptr();
    // SAFETY: the table is locked for a read, so that it is there; the closure owns nothing.
    let (done, place) = unsafe {
        catching(|| {
            // SQL would say so before it starts.
            raw::PreventCommandIfReadOnly(verb);
            let mut place = None;
            let done = with_table(tables, |table| {
                place = plain::insert(table, &fields);
                place.is_some() || insert_into(table, &fields)
            });
            (done, place)
        })?
    };
    place::TOKENS.with(|places| places.note(token, place));
    Ok(done)
}

/// Deletes the row version at `place`, waiting for whoever has it locked. False, and nothing done, if it isn't the newest any
/// more, or that takes a statement.
pub fn delete(tables: &Tables, verb: &CStr, place: &ItemPointerData) -> Result<bool, Error> {
    let verb = verb.as_ptr();
    // SAFETY: as above.
    unsafe {
        catching(|| {
            raw::PreventCommandIfReadOnly(verb);
            with_table(tables, |table| delete_from(table, place))
        })
    }
}

/// # Safety
/// Inside [`catching`]; the same holds for `body`.
unsafe fn with_table(tables: &Tables, body: impl FnOnce(Relation) -> bool) -> bool {
    // SAFETY: what is opened here is closed here, or by the abort when an error jumps out; the lock stays.
    unsafe {
        let table = raw::table_open(tables.workers, pg_sys::RowExclusiveLock as i32);
        let done = (*table).trigdesc.is_null() && body(table);
        raw::relation_close(table, pg_sys::NoLock as i32);
        if done {
            // What follows in the transaction is to see it.
            raw::CommandCounterIncrement();
        }
        done
    }
}

/// Inserts by way of the executor, which minds whatever is on the table.
///
/// # Safety
/// Inside [`catching`]; the fields are of their columns' types.
unsafe fn insert_into(table: Relation, fields: &[(i16, Arg)]) -> bool {
    // SAFETY: the caller's promise. The slot has room for a field a column; the executor's state goes with its memory.
    unsafe {
        let state = raw::CreateExecutorState();
        let target = raw::palloc0(size_of::<pg_sys::ResultRelInfo>());
        let target = target.cast::<pg_sys::ResultRelInfo>();
        (*target).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        // Zero, as there is no range table: an error that names a row's values would look into it.
        raw::InitResultRelInfo(target, table, 0, std::ptr::null_mut(), 0);
        raw::ExecOpenIndices(target, false);

        let slot = raw::MakeSingleTupleTableSlot((*table).rd_att, &raw const pg_sys::TTSOpsVirtual);
        let columns = (*(*table).rd_att).natts as usize;
        std::slice::from_raw_parts_mut((*slot).tts_isnull, columns).fill(true);
        for (number, field) in fields {
            let at = *number as usize - 1;
            *(*slot).tts_values.add(at) = field.unwrap_or(Datum::null());
            *(*slot).tts_isnull.add(at) = field.is_none();
        }
        raw::ExecStoreVirtualTuple(slot);

        raw::PushActiveSnapshot(raw::GetTransactionSnapshot());
        (*state).es_output_cid = raw::GetCurrentCommandId(true);
        raw::ExecSimpleRelationInsert(target, state, slot);
        raw::PopActiveSnapshot();

        raw::ExecCloseIndices(target);
        raw::ExecDropSingleTupleTableSlot(slot);
        raw::FreeExecutorState(state);
        true
    }
}

/// # Safety
/// Inside [`catching`]; the place is one where a row was seen.
unsafe fn delete_from(table: Relation, place: &ItemPointerData) -> bool {
    let mut place = *place;
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: the caller's promise; of a table AM's functions this one is always there.
    unsafe {
        raw::PushActiveSnapshot(raw::GetLatestSnapshot());
        let snapshot = raw::GetActiveSnapshot();
        let delete = (*(*table).rd_tableam).tuple_delete;
        let result = delete.map(|delete| {
            let now = raw::GetCurrentCommandId(true);
            let no_other = std::ptr::null_mut();
            delete(
                table,
                &mut place,
                now,
                snapshot,
                no_other,
                true,
                &mut failure,
                false,
            )
        });
        raw::PopActiveSnapshot();
        result == Some(pg_sys::TM_Result::TM_Ok)
    }
}
