//! One cleanup of a database, in a process of its own.

use super::INSTALLED;
use crate::cleanup::auto;
use crate::pg::error::Error;
use crate::pg::export::{raise_pending, verb};
use crate::pg::transaction::defer_nothing;
use crate::pg::{owner, process};
use crate::sabotage::{self, Guard};
use crate::store::sql;
use pgrx::pg_sys::{self, Datum, Oid};
use std::sync::atomic::Ordering;

/// # Safety
/// Called by Postgres as the main function of the process, with the OID of a database.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn volguard_cleanup_worker(database: Datum) {
    work(database);
    // SAFETY: nothing with a destructor is left in this frame, and below it are frames of Postgres.
    unsafe { raise_pending() };
}

/// An error ends the process; Postgres logs it.
#[pgrx::pg_guard]
extern "C-unwind" fn work(database: Datum) {
    // What the launcher passed.
    process::connect(Oid::from(database.value() as u32), c"volguard cleanup worker");
    // Each round in a transaction of its own, so that others see what it did.
    while let Some(round) = clean_once() {
        INSTALLED.get().store(round != Cleaned::NotInstalled, Ordering::Relaxed);
        if round != Cleaned::More {
            break;
        }
    }
}

/// What one transaction found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cleaned {
    NotInstalled,
    All,
    /// Another one would do more at once.
    More,
}

/// `None` after an error, which is to be raised.
fn clean_once() -> Option<Cleaned> {
    // SAFETY: the start of a transaction in a process that is connected.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(
            pg_sys::BackendState::STATE_RUNNING,
            c"volguard: cleaning up after dead services".as_ptr(),
        );
    }
    let cleaned = verb(None, || clean().map(Some))?;
    // SAFETY: the transaction and the snapshot opened above.
    unsafe {
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(true);
    }
    Some(cleaned)
}

/// Not where the database lacks the extension: tables of its names are not enough, since this process may do anything.
/// The events of what is done are logged.
fn clean() -> Result<Cleaned, Error> {
    defer_nothing()?;
    match owner::role() {
        Err(Error::NotInstalled) => return Ok(Cleaned::NotInstalled),
        role => role?,
    };
    if !sabotage::removed(Guard::Member) && sql::IS_INSTALLED.count(&[])? == 0 {
        return Ok(Cleaned::NotInstalled);
    }
    Ok(match auto::clean_due(None)?.more {
        true => Cleaned::More,
        false => Cleaned::All,
    })
}
