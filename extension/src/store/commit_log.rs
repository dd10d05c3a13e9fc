//! Lines for the server's log about what a transaction has done, written when it commits: what was rolled back, such as a
//! cleanup that did not free the way, has not happened.

use pgrx::pg_sys;
use std::cell::RefCell;
use std::ffi::c_void;

struct Line {
    /// How deep a subtransaction it was said in.
    level: i32,
    text: String,
}

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Hooks the ends of transactions and subtransactions, once a backend.
pub fn register() {
    // SAFETY: the callbacks live as long as the library, which Postgres never unloads.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
    }
}

/// Has a line written if what was done in this (sub)transaction comes to stay.
pub fn at_commit(text: String) {
    let level = level();
    LINES.with_borrow_mut(|lines| lines.push(Line { level, text }));
}

fn level() -> i32 {
    // SAFETY: a plain read of the backend's state.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}

/// Written just before the commit, when an error may still be raised. Little can fail from there on: a serializable
/// transaction, or the disk.
///
/// # Safety
/// Called by Postgres at the end of a transaction.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE};
    if !matches!(
        event,
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE | XACT_EVENT_ABORT
    ) {
        return;
    }
    // A process that is on its way out may have no list any more.
    let lines = LINES.try_with(RefCell::take).unwrap_or_default();
    if event != XACT_EVENT_ABORT {
        for line in lines {
            pgrx::log!("{}", line.text);
        }
    }
}

/// # Safety
/// Called by Postgres at the end of a subtransaction, while that is still the current one.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    _subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut c_void,
) {
    use pg_sys::SubXactEvent::{SUBXACT_EVENT_ABORT_SUB, SUBXACT_EVENT_COMMIT_SUB};
    let at_end = |lines: &RefCell<Vec<Line>>| {
        let mut lines = lines.borrow_mut();
        if lines.is_empty() {
            return;
        }
        let ending = level();
        match event {
            SUBXACT_EVENT_ABORT_SUB => lines.retain(|line| line.level < ending),
            SUBXACT_EVENT_COMMIT_SUB => {
                for line in lines.iter_mut() {
                    line.level = line.level.min(ending - 1);
                }
            }
            _ => {}
        }
    };
    // As above; what is not there needs no change.
    let _ = LINES.try_with(at_end);
}
