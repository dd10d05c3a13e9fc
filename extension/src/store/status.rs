//! Sets the status of a row of `workers`, without a statement. Under SERIALIZABLE the reads of a statement would take
//! predicate locks.

use super::lookup::{Held, fields};
use super::tables::Tables;
use super::update::update;
use super::write::{lock_row, suppressed, with_table};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::owner::AsRole;
use crate::pg::spi::{Arg, arg};
use crate::sabotage::{self, Guard};
use pgrx::FromDatum;
use pgrx::pg_sys::{self, EState, ItemPointerData, LockTupleMode, Relation, ResultRelInfo, TupleTableSlot};
use std::ptr;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Done,
    /// No row has the token.
    NotHeld,
    /// The work has another status than the call expects.
    Unexpected,
}

/// The result of an update.
enum Updated {
    Row,
    Unexpected,
    /// A BEFORE trigger returned NULL.
    Vetoed,
    NotThere,
}

/// Sets the status of the row of a token, after waiting for transactions that change it; without a status it is no
/// claim any more either. With `expected` only if the work has that status by then. Only if no other work of the
/// resource can be in the way: otherwise the unique index raises an error.
pub fn set_status(tables: &Tables, held: &Held, status: Arg, expected: Option<&str>) -> Result<Set, Error> {
    let Some(place) = held.place(tables)? else {
        return Ok(Set::NotHeld);
    };
    let expected = expected.filter(|_| !sabotage::removed(Guard::ExpectedStatus));
    // SAFETY: reads the clock.
    let now = arg(unsafe { pg_sys::GetCurrentTimestamp() });
    let columns = &tables.columns;
    let changes = [(columns.status, status), (columns.updated_at, now), (columns.crashed_service_id, None)];
    let changes = if status.is_none() { &changes[..] } else { &changes[..2] };
    let _owner = AsRole::owner()?;
    // SAFETY: the table is locked for a read, so it exists; the closure owns nothing. The values are of their columns'
    // types.
    let updated = unsafe {
        catching(|| {
            with_table(tables, |table, target, state| {
                let slot = raw::table_slot_create(table, ptr::null_mut());
                let updated =
                    lock_and_update(tables, table, target, state, slot, (held.token, place), expected, changes);
                raw::ExecDropSingleTupleTableSlot(slot);
                updated
            })
        })?
    };
    match updated {
        Updated::Row => Ok(Set::Done),
        Updated::Unexpected => Ok(Set::Unexpected),
        Updated::Vetoed => Err(suppressed("update of")),
        Updated::NotThere => Ok(Set::NotHeld),
    }
}

/// Locks the latest version of the row first: the executor's update raises an error if it meets another writer.
///
/// # Safety
/// As the body of [`with_table`]; the slot is of the table, `row` is a token and the place of a version of its row, and
/// the changes are columns of the table with values of their types.
#[allow(clippy::too_many_arguments, reason = "what the body of `with_table` has at hand")]
unsafe fn lock_and_update(
    tables: &Tables,
    table: Relation,
    target: *mut ResultRelInfo,
    state: *mut EState,
    slot: *mut TupleTableSlot,
    row: (i64, ItemPointerData),
    expected: Option<&str>,
    changes: &[(i16, Arg)],
) -> Updated {
    // SAFETY: the caller's promise. The slots' arrays have an element per column. The state for a recheck is zeroed
    // because it is never used: the row is locked, so a trigger needs no recheck.
    unsafe {
        let (snapshot, command) = ((*state).es_snapshot, (*state).es_output_cid);
        let mode = LockTupleMode::LockTupleNoKeyExclusive;
        if lock_row(tables, table, slot, row, mode, snapshot, command).is_none() {
            return Updated::NotThere;
        }
        let mut should_free = false;
        let old = raw::ExecFetchSlotHeapTuple(slot, false, &mut should_free);
        if let Some(expected) = expected {
            let [status] = fields(table, old, [tables.columns.status]);
            if status.and_then(|status| <&str>::from_datum(status, false)) != Some(expected) {
                return Updated::Unexpected;
            }
        }
        raw::ExecOpenIndices(target, false);
        let updated = update(table, target, state, slot, changes);
        raw::ExecCloseIndices(target);
        match updated {
            Some(_) => Updated::Row,
            None => Updated::Vetoed,
        }
    }
}
