//! A time limit for code of the user, such as the triggers that a crash rule fires, and what its errors mean.
//!
//! The limit is a timer of our own. It cancels the statement that runs, as `statement_timeout` does, but only that: the
//! error ends the subtransaction of the caller. The code can't catch it for long: once the timer has struck, each error
//! that is raised leaves another cancel behind.

use super::error::Error;
use super::report::PgError;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long after a strike the next one follows, if the first was lost. Milliseconds.
const AGAIN_MS: c_int = 1000;

/// `utils/timeout.h`, which pgrx doesn't bind: the same in all versions. None of the functions raises an error.
mod timeouts {
    use std::ffi::c_int;

    pub const LOCK_TIMEOUT: c_int = 2;
    pub const STATEMENT_TIMEOUT: c_int = 3;
    /// Any number from `USER_TIMEOUT` on, which differs by version, has Postgres choose one.
    pub const NEW: c_int = 1000;

    unsafe extern "C-unwind" {
        pub fn RegisterTimeout(id: c_int, handler: unsafe extern "C-unwind" fn()) -> c_int;
        pub fn enable_timeout_every(id: c_int, first: i64, again_ms: c_int);
        pub fn disable_timeout(id: c_int, keep_indicator: bool);
        pub fn get_timeout_active(id: c_int) -> bool;
        pub fn get_timeout_indicator(id: c_int, reset: bool) -> bool;
    }
}

thread_local! {
    /// The timer of this backend, once it has one.
    static TIMER: Cell<Option<c_int>> = const { Cell::new(None) };
    /// Whether code of the user is running under the timer.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the timer has cancelled the running code.
static STRUCK: AtomicBool = AtomicBool::new(false);

/// Code of the user has failed.
#[derive(Debug)]
pub struct Failure {
    /// With texts that are clipped.
    pub error: Error,
    /// It took too long, or waited too long for a lock.
    pub out_of_time: bool,
}

/// Runs code of the user, which must undo what it did if it fails: in a subtransaction. Any error that it raises is its
/// failure, whatever the SQLSTATE; only a cancel of the caller's statement ends the call.
///
/// Within another such call the limit is that of the outer one, and so is each cancel.
pub fn user_code<T>(limit: Duration, body: impl FnOnce() -> Result<T, Error>) -> Result<Result<T, Failure>, Error> {
    let timer = Timer::start(limit);
    let result = match &timer {
        Some(_) => insisting(body),
        None => body(),
    };
    let end = timer.map(Timer::stop).unwrap_or_default();
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Postgres(report)) if is_cancel(&report) && !end.is_only_ours() => Err(Error::Postgres(report)),
        Err(Error::Postgres(report)) if is_cancel(&report) => {
            Ok(Err(Failure { error: Error::OutOfTime, out_of_time: true }))
        }
        Err(mut error) => {
            let mut out_of_time = end.struck;
            if let Error::Postgres(report) = &mut error {
                out_of_time |= is_lock_timeout(report);
                report.clip();
            }
            Ok(Err(Failure { error, out_of_time }))
        }
    }
}

/// Begins another limit for the code that runs under one.
pub fn restart(limit: Duration) {
    if let Some(id) = TIMER.get().filter(|_| RUNNING.get()) {
        enable(id, limit);
    }
}

fn enable(id: c_int, limit: Duration) {
    let micros = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    // SAFETY: a timeout that is registered, which this may move; the clock counts microseconds.
    unsafe { timeouts::enable_timeout_every(id, pg_sys::GetCurrentTimestamp() + micros, AGAIN_MS) };
}

/// Runs `body`; while it runs under a timer that has struck, each error is followed by another cancel.
fn insisting<T>(body: impl FnOnce() -> T) -> T {
    /// Takes the callback away, also on the way of a panic.
    struct Restored(*mut pg_sys::ErrorContextCallback);
    impl Drop for Restored {
        fn drop(&mut self) {
            // SAFETY: the value before.
            unsafe { pg_sys::error_context_stack = self.0 };
        }
    }
    // SAFETY: a plain variable of the backend. The callback lives until `body` has ended, and is taken away then.
    unsafe {
        let mut callback = pg_sys::ErrorContextCallback {
            previous: pg_sys::error_context_stack,
            callback: Some(strike_again),
            arg: std::ptr::null_mut(),
        };
        let _restored = Restored(callback.previous);
        pg_sys::error_context_stack = &raw mut callback;
        body()
    }
}

/// Raised because this backend was asked to stop. Code of the user can raise the same SQLSTATE, but not from there.
fn is_cancel(report: &PgError) -> bool {
    is_interrupt(report, *b"57014")
}

fn is_lock_timeout(report: &PgError) -> bool {
    is_interrupt(report, *b"55P03")
}

fn is_interrupt(report: &PgError, sqlstate: [u8; 5]) -> bool {
    report.sqlstate() == sqlstate && report.function() == "ProcessInterrupts"
}

/// The timer runs while this lives.
struct Timer {
    id: c_int,
    had_statement_timeout: bool,
}

/// How the code under a timer has ended.
#[derive(Default)]
struct End {
    struck: bool,
    statement_timeout: bool,
}

impl End {
    /// Of a cancel: it is the timer's, and no other one has come at the same time.
    fn is_only_ours(&self) -> bool {
        self.struck && !self.statement_timeout
    }
}

impl Timer {
    /// `None` if one runs already, or a test has removed it.
    fn start(limit: Duration) -> Option<Timer> {
        if RUNNING.get() || sabotage::removed(Guard::RuleTimeout) {
            return None;
        }
        let id = TIMER.get().unwrap_or_else(|| {
            // SAFETY: a handler that does what a signal handler may do. The number is this backend's for good.
            let id = unsafe { timeouts::RegisterTimeout(timeouts::NEW, strike) };
            TIMER.set(Some(id));
            id
        });
        RUNNING.set(true);
        STRUCK.store(false, Ordering::Relaxed);
        // SAFETY: reads whether Postgres' own timer runs.
        let had_statement_timeout = unsafe { timeouts::get_timeout_active(timeouts::STATEMENT_TIMEOUT) };
        enable(id, limit);
        Some(Timer { id, had_statement_timeout })
    }

    fn stop(self) -> End {
        // SAFETY: a timeout that is registered.
        unsafe { timeouts::disable_timeout(self.id, false) };
        let struck = STRUCK.swap(false, Ordering::Relaxed);
        // SAFETY: reads whether Postgres' own timer has fired.
        let statement_timeout =
            self.had_statement_timeout && !unsafe { timeouts::get_timeout_active(timeouts::STATEMENT_TIMEOUT) };
        if struck && !sabotage::removed(Guard::CancelTakenBack) {
            take_back();
        }
        End { struck, statement_timeout }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: a timeout that is registered; after `stop` it is disabled already.
        unsafe { timeouts::disable_timeout(self.id, false) };
        RUNNING.set(false);
    }
}

/// The code has ended before it came to process the cancel of the timer, which is not for what runs next. A cancel of
/// Postgres' own timers stays.
fn take_back() {
    // SAFETY: plain variables of the backend; our timer doesn't run any more.
    unsafe {
        let theirs = timeouts::get_timeout_indicator(timeouts::STATEMENT_TIMEOUT, false)
            || timeouts::get_timeout_indicator(timeouts::LOCK_TIMEOUT, false);
        if !theirs {
            pg_sys::QueryCancelPending = 0;
        }
    }
}

/// Called for each message of Postgres, before an error is thrown to the code that catches it.
///
/// # Safety
/// Called by Postgres; it only writes variables.
unsafe extern "C-unwind" fn strike_again(_arg: *mut std::ffi::c_void) {
    if STRUCK.load(Ordering::Relaxed) && !sabotage::removed(Guard::Insisting) {
        // SAFETY: as in `strike`.
        unsafe {
            (&raw mut pg_sys::QueryCancelPending).write_volatile(1);
            (&raw mut pg_sys::InterruptPending).write_volatile(1);
        }
    }
}

/// Cancels what runs. Postgres' handler of the signal has woken the backend already. A cancel that is pending is
/// another one's.
///
/// # Safety
/// Called by Postgres, in a signal handler: it only writes variables.
unsafe extern "C-unwind" fn strike() {
    // SAFETY: variables that signal handlers write, too.
    unsafe {
        if (&raw const pg_sys::QueryCancelPending).read_volatile() == 0 {
            STRUCK.store(true, Ordering::Relaxed);
            (&raw mut pg_sys::QueryCancelPending).write_volatile(1);
        }
        (&raw mut pg_sys::InterruptPending).write_volatile(1);
    }
}
