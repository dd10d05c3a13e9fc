//! A transaction of a process that has no client: each try of a crash rule is one.

use super::catch::{catching, raw};
use super::clip::clipped;
use super::durability;
use super::error::Error;
use super::spi;
use super::time_limit::user_code;
use pgrx::pg_sys;
use std::fmt;
use std::time::Duration;

/// How long statements of ours may take.
const MOST_TIME: Duration = Duration::from_secs(60);

/// Why a transaction was rolled back. Owns its text, since errors live in the memory of their transaction.
#[derive(Clone, Debug)]
pub struct Failure {
    pub message: String,
    pub sqlstate: [u8; 5],
    /// It took too long, or waited too long for a lock.
    pub out_of_time: bool,
}

impl Failure {
    pub fn of(error: &Error, out_of_time: bool) -> Self {
        Failure { message: clipped(&error.to_string()), sqlstate: error.sqlstate(), out_of_time }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// From now on until the end of the transaction nothing is deferred: at the commit, checks and triggers would run with
/// the rights of the process.
pub fn defer_nothing() -> Result<(), Error> {
    spi::utility("SET CONSTRAINTS ALL IMMEDIATE")
}

/// Runs `body` in a transaction of its own, which is committed if `body` succeeds. Whatever fails, also the commit, is
/// the transaction's failure, and so is one that takes longer than [`MOST_TIME`], or than `body` sets when it comes to
/// code of the user.
pub fn transaction<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<T, Failure> {
    // SAFETY: the start of a transaction in a process that is connected and has none. The statement's time is that of
    // the transaction, which `now()` tells to triggers.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
    durability::require();
    let done = user_code(MOST_TIME, || {
        defer_nothing()?;
        let done = body()?;
        // SAFETY: the snapshot and the transaction from above; the closure owns nothing.
        unsafe {
            catching(|| {
                raw::PopActiveSnapshot();
                raw::CommitTransactionCommand();
            })?;
        }
        Ok(done)
    });
    let failure = match done {
        Ok(Ok(done)) => {
            // SAFETY: reports what a transaction has done, outside of one.
            unsafe { pg_sys::pgstat_report_stat(true) };
            return Ok(done);
        }
        Ok(Err(failure)) => Failure::of(&failure.error, failure.out_of_time),
        Err(cancelled) => Failure::of(&cancelled, false),
    };
    // SAFETY: ends the transaction from above, wherever it was broken off.
    unsafe { pg_sys::AbortCurrentTransaction() };
    Err(failure)
}
