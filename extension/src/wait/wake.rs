//! Waking the head of a line after a commit.

use super::tag::Tag;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::cell::RefCell;

thread_local! {
    /// Latches to set when this transaction has committed.
    static TO_WAKE: RefCell<Vec<*mut pg_sys::Latch>> = const { RefCell::new(Vec::new()) };
}

/// Hooks the end of transactions, once a backend.
pub fn register() {
    // SAFETY: the callback lives as long as the library, which Postgres never unloads.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

/// Notes whoever heads the line of `tag` at this moment, to be woken once the change just made is visible.
///
/// Call it after the row was deleted (or changed). Who becomes head later finds the change in progress and waits for this
/// transaction instead, so no call sleeps through it.
pub fn after_commit(tag: &Tag) {
    if !sabotage::removed(Guard::WakeUp) {
        TO_WAKE.with_borrow_mut(|latches| tag.holders_latches(latches));
    }
}

/// # Safety
/// Called by Postgres at the end of a transaction, when nothing may fail any more: it sets latches and frees a list.
///
/// A rolled-back savepoint leaves its latches in the list; they wake a head in vain, which then looks and sleeps again.
/// PREPARE TRANSACTION forgets them; its heads find out by their safety poll.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _arg: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    if !matches!(
        event,
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE
    ) {
        return;
    }
    // A failed borrow can't happen (nothing calls us while it borrows) and would only cost the safety poll's second.
    let latches = TO_WAKE.try_with(|list| {
        list.try_borrow_mut()
            .map(|mut list| std::mem::take(&mut *list))
    });
    if let (XACT_EVENT_COMMIT, Ok(Ok(latches))) = (event, latches) {
        for latch in latches {
            // SAFETY: the latch of a PGPROC, which stays mapped as long as we live. SetLatch raises nothing.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }
}
