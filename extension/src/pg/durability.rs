//! Commits that wait for the disk, and for a synchronous standby, whatever `synchronous_commit` says: what others see
//! of a verb, and what its caller was told, must outlive a crash.
//!
//! The setting is raised at the end of the transaction, through the machinery of settings, which takes it back with
//! the transaction. So no statement of the caller sees it.

use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    /// A verb was called in this transaction.
    static REQUIRED: Cell<bool> = const { Cell::new(false) };
}

/// Hooks the end of transactions, once a backend.
pub fn register() {
    // SAFETY: the callback lives as long as the library, which Postgres never unloads.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

/// Makes the commit of this transaction, if it has written, wait.
pub fn require() {
    REQUIRED.set(!sabotage::removed(Guard::Durable));
}

/// # Safety
/// Called by Postgres at the end of a transaction.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE};
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE if REQUIRED.take() => raise(),
        XACT_EVENT_ABORT => REQUIRED.set(false),
        _ => {}
    }
}

fn raise() {
    // SAFETY: a plain variable of the backend.
    if unsafe { pg_sys::synchronous_commit } >= pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_REMOTE_FLUSH as i32 {
        return;
    }
    // SAFETY: a setting that every role may change, with a value that it takes; a transaction runs, which ends next.
    unsafe {
        pg_sys::set_config_option(
            c"synchronous_commit".as_ptr(),
            c"on".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        );
    }
}
