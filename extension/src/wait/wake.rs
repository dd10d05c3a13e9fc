//! Wakes calls after a commit: the heads of wait queues, and those that wait for work.

use super::bell::Ring;
use super::tag::Tag;

use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Latches to set when this transaction has committed.
    static TO_WAKE: RefCell<Vec<*mut pg_sys::Latch>> = const { RefCell::new(Vec::new()) };
    /// Bells to ring then.
    static TO_RING: RefCell<BTreeMap<(u16, u32, u32), Ring>> = const { RefCell::new(BTreeMap::new()) };
}

/// Hooks the end of transactions, once a backend.
pub fn register() {
    // SAFETY: the callback lives as long as the library, which Postgres never unloads.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

/// Notes the call that heads the queue of `tag` now, to be woken once this transaction's change is visible.
///
/// To be called after the row was deleted or changed. A call that becomes head later finds the change in progress and
/// waits for this transaction instead, so that no call misses the change.
pub fn after_commit(tag: &Tag) {
    if !sabotage::removed(Guard::WakeUp) {
        TO_WAKE.with_borrow_mut(|latches| tag.holders_latches(latches));
    }
}

/// Rings after the commit. Who is to be woken is looked up then: a call that began to wait after the lookup, and before
/// the commit was visible, would sleep on.
pub fn ring_after_commit(ring: Ring) {
    // One wake-up is enough for any number: a call that leaves work wakes the next one.
    TO_RING.with_borrow_mut(|rings| rings.insert(ring.number(), ring));
}

/// Finds who is to be woken, and wakes them. The lookup can fail only for want of memory: the calls look for themselves
/// in the end.
fn ring(rings: impl Iterator<Item = Ring>) {
    for ring in rings {
        if let Ok(Some(latch)) = catch_unwind(AssertUnwindSafe(|| ring.first_holder())) {
            // SAFETY: as below.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }
}

/// # Safety
/// Called by Postgres at the end of a transaction, where nothing may fail any more: it sets latches, looks into the lock table, and frees lists.
///
/// A savepoint that is rolled back leaves its latches in the list. They wake a head in vain, which looks and sleeps
/// again. PREPARE TRANSACTION drops the list: the heads notice the change by their safety poll.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    if !matches!(event, XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE) {
        return;
    }
    // The borrow can't fail, since nothing borrows the list now. If it did, the heads would wake by their safety poll.
    let latches = TO_WAKE.try_with(|list| list.try_borrow_mut().map(|mut list| std::mem::take(&mut *list)));
    let rings = TO_RING.try_with(|list| list.try_borrow_mut().map(|mut list| std::mem::take(&mut *list)));
    if let (XACT_EVENT_COMMIT, Ok(Ok(rings))) = (event, rings) {
        ring(rings.into_values());
    }
    if let (XACT_EVENT_COMMIT, Ok(Ok(latches))) = (event, latches) {
        for latch in latches {
            // SAFETY: the latch of a PGPROC, which stays mapped as long as the backend lives. SetLatch raises nothing.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }
}
