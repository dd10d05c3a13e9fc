//! One cleanup of a database, in a process of its own.

use super::{INSTALLED, on_signal, signal};
use crate::cleanup::auto;
use crate::pg::error::Error;
use crate::pg::export::{raise_pending, verb};
use crate::pg::owner;
use pgrx::pg_sys::{self, Datum, Oid};
use std::sync::atomic::Ordering;

/// Settings of a database or a role that could make every tick fail.
const SETTINGS: [(&std::ffi::CStr, &std::ffi::CStr); 3] = [
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"lock_timeout", c"0"),
];

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
    // The shutdown of the server ends a cleanup as it ends any statement.
    on_signal(signal::SIGTERM, Some(signal::die));
    // SAFETY: the first calls of a new process, in Postgres' order. The argument is what the launcher passed. As the
    // bootstrap superuser, which every cluster has: the crash rules run as their own roles all the same.
    unsafe {
        pg_sys::BackgroundWorkerUnblockSignals();
        let database = Oid::from(database.value() as u32);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, Oid::INVALID, 0);
        pg_sys::pgstat_report_appname(c"volguard cleanup worker".as_ptr());
        for (name, value) in SETTINGS {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(
            pg_sys::BackendState::STATE_RUNNING,
            c"volguard: cleaning up after dead services".as_ptr(),
        );
    }
    let Some(installed) = verb(None, || clean().map(Some)) else {
        return;
    };
    // SAFETY: the transaction and the snapshot opened above.
    unsafe {
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(true);
    }
    INSTALLED.get().store(installed, Ordering::Relaxed);
}

/// False if the database lacks the extension. The events of what is done are logged.
fn clean() -> Result<bool, Error> {
    match owner::role() {
        Err(Error::NotInstalled) => return Ok(false),
        role => role?,
    };
    auto::clean_due(None)?;
    Ok(true)
}
