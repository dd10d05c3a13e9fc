//! A release that somebody waits for is seen before it is on disk.
//!
//! A commit waits for the disk, and others see it after that. So whoever waits for a key would begin when the disk is done with
//! the release, and then wait for it again with a commit of its own. But that commit stands behind the release in the log: a
//! crash that undoes the release undoes whatever came of it. Therefore a release that is all its transaction has written is
//! made visible first, wakes the head of the line, and waits for the disk then. Its caller is told after that, as ever.
//!
//! The method is known as pre-commit or early lock release: DeWitt et al., "Implementation Techniques for Main Memory
//! Database Systems" (1984); Johnson et al., "Aether: A Scalable Approach to Logging" (2010).

use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use pgrx::pg_sys::SyncCommitLevel::{SYNCHRONOUS_COMMIT_LOCAL_FLUSH, SYNCHRONOUS_COMMIT_OFF};
use std::cell::Cell;
use std::ffi::{c_int, c_long, c_void};

/// How long a release leaves the disk to the next holder, whose commit takes it along: what a head needs from its wake-up to
/// that commit, more or less. In microseconds. Postgres' `commit_delay` is the same bargain, for all commits.
const PAUSE: c_long = 200;

#[derive(Clone, Copy)]
enum State {
    Idle,
    /// The transaction had written nothing before its release, whose record ends here in the log.
    Released(pg_sys::XLogRecPtr),
    /// It commits without waiting for the disk. `synchronous_commit` was this before.
    Committing(c_int),
    /// It is visible, but maybe not on disk.
    Visible,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Idle) };
}

/// Hooks the ends of transactions, once a backend.
pub fn register() {
    // SAFETY: the callbacks live as long as the library, which Postgres never unloads.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterResourceReleaseCallback(Some(at_locks_released), std::ptr::null_mut());
    }
}

/// Asked before a release: is it the first that the transaction writes?
pub fn nothing_written() -> bool {
    // SAFETY: a plain read of the backend's state. Whatever changes a row has a transaction id first.
    let id = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    id == pg_sys::TransactionId::INVALID || sabotage::removed(Guard::Alone)
}

/// Makes the release just written visible early, unless the transaction writes more.
pub fn offer() {
    // SAFETY: a plain variable of the backend: where its last record ends.
    STATE.set(State::Released(unsafe { pg_sys::XactLastRecEnd }));
}

/// Takes the wait for the disk out of the commit that now begins, if nothing speaks against it.
fn before_commit() {
    let State::Released(end) = STATE.replace(State::Idle) else {
        return;
    };
    // SAFETY: plain variables of the backend. The setting is put back by `after_commit`, which Postgres calls at the end of this
    // transaction, however it ends.
    unsafe {
        // Others are not to see anything else before it is on disk.
        let alone = end == pg_sys::XactLastRecEnd || sabotage::removed(Guard::Alone);
        let level = pg_sys::synchronous_commit;
        if alone && level > SYNCHRONOUS_COMMIT_OFF as c_int && !awaits_standby(level) {
            pg_sys::synchronous_commit = SYNCHRONOUS_COMMIT_OFF as c_int;
            STATE.set(State::Committing(level));
        }
    }
}

/// Whether a commit at this level waits for a standby too: it has to ask for that in its record.
fn awaits_standby(level: c_int) -> bool {
    // SAFETY: a string of the server's configuration, or null.
    let named = unsafe {
        let names = pg_sys::SyncRepStandbyNames;
        !names.is_null() && *names != 0
    };
    named && level > SYNCHRONOUS_COMMIT_LOCAL_FLUSH as c_int && !sabotage::removed(Guard::Standby)
}

fn after_commit(committed: bool) {
    if let State::Committing(level) = STATE.replace(State::Idle) {
        // SAFETY: a plain variable of the backend, as it was.
        unsafe { pg_sys::synchronous_commit = level };
        if committed {
            STATE.set(State::Visible);
        }
    }
}

/// # Safety
/// Called by Postgres at the end of a transaction, once it can't fail any more but for the events before the commit.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT => before_commit(),
        XACT_EVENT_COMMIT => after_commit(true),
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => after_commit(false),
        _ => {}
    }
}

/// Waits for the disk: with the locks gone, so that nobody waits for them meanwhile, and before the caller is told.
///
/// # Safety
/// Called by Postgres whenever somebody's resources are released, with interrupts held off.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_locks_released(
    phase: pg_sys::ResourceReleasePhase::Type,
    _committed: bool,
    of_transaction: bool,
    _arg: *mut c_void,
) {
    let over = phase == pg_sys::ResourceReleasePhase::RESOURCE_RELEASE_AFTER_LOCKS;
    if !(over && of_transaction && matches!(STATE.get(), State::Visible)) {
        return;
    }
    STATE.set(State::Idle);
    if sabotage::removed(Guard::Flush) {
        return;
    }
    // SAFETY: the end of the commit record just written. A disk that fails brings the server down, as it does in any commit.
    unsafe {
        if pg_sys::enableFsync {
            pg_sys::pg_usleep(PAUSE);
        }
        pg_sys::XLogFlush(pg_sys::XactLastCommitEnd);
    }
}
