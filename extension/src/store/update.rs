//! Changes columns of a row of `workers` that this transaction has locked.

use crate::pg::catch::raw;
use crate::pg::spi::Arg;
use pgrx::pg_sys::{self, Datum, EState, HeapTuple, Relation, ResultRelInfo, TupleTableSlot};

/// Returns the new version, in the current memory context, whose place is not set; `None` if a BEFORE trigger returned
/// NULL.
///
/// # Safety
/// As the body of [`super::write::with_table`], with the indexes open. The slot has the version of the row that is
/// locked, and the changes are columns of the table with values of their types.
pub unsafe fn update(
    table: Relation,
    target: *mut ResultRelInfo,
    state: *mut EState,
    locked: *mut TupleTableSlot,
    changes: &[(i16, Arg)],
) -> Option<HeapTuple> {
    // SAFETY: the caller's promise. The slots' arrays have an element per column. The state for a recheck is zeroed
    // because it is never used: the row is locked, so a trigger needs no recheck.
    unsafe {
        let mut should_free = false;
        let old = raw::ExecFetchSlotHeapTuple(locked, false, &mut should_free);
        let new = raw::MakeSingleTupleTableSlot((*table).rd_att, &raw const pg_sys::TTSOpsVirtual);
        raw::heap_deform_tuple(old, (*table).rd_att, (*new).tts_values, (*new).tts_isnull);
        for (number, value) in changes {
            let at = *number as usize - 1;
            *(*new).tts_values.add(at) = value.unwrap_or(Datum::null());
            *(*new).tts_isnull.add(at) = value.is_none();
        }
        raw::ExecStoreVirtualTuple(new);
        let recheck = raw::palloc0(size_of::<pg_sys::EPQState>()).cast();
        raw::ExecSimpleRelationUpdate(target, state, recheck, locked, new);
        // The tid of the new version, which stays unset if a BEFORE trigger returned NULL.
        let updated = ((*new).tts_tid.ip_posid != 0).then(|| {
            let version = raw::ExecFetchSlotHeapTuple(new, false, &mut should_free);
            raw::heap_copytuple(version)
        });
        raw::ExecDropSingleTupleTableSlot(new);
        updated
    }
}
