//! Messages for the server's log about what a transaction has done, written when it commits. What was rolled back,
//! such as a cleanup that did not clear the way for an acquire, has not happened.

use crate::pg::log::one_line;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::ffi::c_void;

struct Message {
    /// The nest level of its subtransaction.
    level: i32,
    text: String,
}

thread_local! {
    static MESSAGES: RefCell<Vec<Message>> = const { RefCell::new(Vec::new()) };
}

/// Hooks the ends of transactions and subtransactions, once a backend.
pub fn register() {
    // SAFETY: the callbacks live as long as the library, which Postgres never unloads.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
    }
}

/// Has a message written if the current (sub)transaction is committed.
pub fn at_commit(text: String) {
    let level = level();
    MESSAGES.with_borrow_mut(|messages| messages.push(Message { level, text }));
}

fn level() -> i32 {
    // SAFETY: a plain read of the backend's state.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}

/// Writes just before the commit, when an error may still be raised. From there on only a serializable transaction or
/// the disk can fail. Of a prepared transaction, which may be rolled back later, only the table of events tells.
///
/// # Safety
/// Called by Postgres at the end of a transaction.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PREPARE};
    if !matches!(event, XACT_EVENT_PRE_COMMIT | XACT_EVENT_PREPARE | XACT_EVENT_ABORT) {
        return;
    }
    // A process that is ending may have no list any more.
    let messages = MESSAGES.try_with(RefCell::take).unwrap_or_default();
    if event == XACT_EVENT_PRE_COMMIT {
        for message in messages {
            pgrx::log!("{}", one_line(&message.text));
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
    let at_end = |messages: &RefCell<Vec<Message>>| {
        let (mut messages, ending) = (messages.borrow_mut(), level());
        match event {
            SUBXACT_EVENT_ABORT_SUB => messages.retain(|message| message.level < ending),
            SUBXACT_EVENT_COMMIT_SUB => {
                for message in messages.iter_mut() {
                    message.level = message.level.min(ending - 1);
                }
            }
            _ => {}
        }
    };
    // As above: a list that is gone needs no change.
    let _ = MESSAGES.try_with(at_end);
}
