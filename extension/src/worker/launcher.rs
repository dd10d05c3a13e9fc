//! The process that starts a tick periodically.

use super::INSTALLED;
use crate::pg::process::{Process, on_signal, signal};
use crate::pg::settings;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{check_for_interrupts, log};
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A process that exits with this code is started again, unless the server shuts down.
const START_AGAIN: i32 = 1;

/// # Safety
/// Called by Postgres as the main function of the process.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn volguard_cleanup_launcher(_argument: Datum) {
    on_signal(signal::SIGHUP, Some(signal::SignalHandlerForConfigReload));
    on_signal(signal::SIGTERM, Some(signal::SignalHandlerForShutdownRequest));
    // SAFETY: the first calls of a new process, in Postgres' order. Without a database it sees the catalogs that all
    // share.
    unsafe {
        pg_sys::BackgroundWorkerUnblockSignals();
        pg_sys::BackgroundWorkerInitializeConnection(ptr::null(), ptr::null(), 0);
        pg_sys::pgstat_report_appname(c"volguard cleanup launcher".as_ptr());
    }
    // Logged when it changes, not at every tick.
    let mut idle = None;
    loop {
        let now = tick().err();
        if now != idle {
            match &now {
                Some(reason) => {
                    log!("volguard: {reason}; nothing is cleaned up until that changes");
                }
                None => log!("volguard: cleaning up again"),
            }
            idle = now;
        }
        rest();
    }
}

/// Starts one cleanup and waits for its end. The error says why nothing is cleaned up.
fn tick() -> Result<(), String> {
    let name = settings::database();
    let database = find(&name)?;
    INSTALLED.get().store(true, Ordering::Relaxed);
    let process = Process::start("volguard cleanup worker", "volguard_cleanup_worker", Datum::from(database))
        .ok_or("no process is left for a cleanup: max_worker_processes is too small")?;
    while process.is_alive() {
        wait(None);
    }
    match INSTALLED.get().load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err(format!("database {name:?} lacks the extension volguard")),
    }
}

/// Sleeps until the next tick is due, by the interval as it is by then.
fn rest() {
    let begun = Instant::now();
    loop {
        let left = settings::cleanup_interval().saturating_sub(begun.elapsed());
        if left.is_zero() {
            return;
        }
        wait(Some(left));
    }
}

/// Sleeps until a signal or the end of a process, and for `most` at the longest. Doesn't return at a shutdown.
fn wait(most: Option<Duration>) {
    let timeout = most.map_or(0, |_| pg_sys::WL_TIMEOUT);
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_EXIT_ON_PM_DEATH | timeout;
    let millis = most.map_or(-1, |most| most.as_micros().div_ceil(1000) as i64);
    // SAFETY: the process' own latch; the flags are those that its signal handlers set; no transaction is open.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, millis, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
        if (&raw const pg_sys::ShutdownRequestPending).read_volatile() != 0 {
            pg_sys::proc_exit(START_AGAIN);
        }
        if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
    check_for_interrupts!();
}

/// The database of that name, if it takes connections.
///
/// All databases are read, without an index: a process without a database may lack what an index scan needs.
fn find(name: &CString) -> Result<Oid, String> {
    // SAFETY: a transaction around a scan of a catalog that all databases share. A tuple is good until the next one
    // is read, and both of its fields that are read are there in every row.
    let found = unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        let mode = pg_sys::AccessShareLock as i32;
        let databases = pg_sys::table_open(pg_sys::DatabaseRelationId, mode);
        let no_key = ptr::null_mut();
        let scan = pg_sys::systable_beginscan(databases, Oid::INVALID, false, ptr::null_mut(), 0, no_key);
        let mut found = None;
        while found.is_none()
            && let Some(tuple) = NonNull::new(pg_sys::systable_getnext(scan))
        {
            let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_database>(tuple.as_ptr());
            let this = CStr::from_ptr((*form).datname.data.as_ptr());
            found = (this == name.as_c_str()).then(|| ((*form).oid, (*form).datallowconn));
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(databases, mode);
        pg_sys::CommitTransactionCommand();
        found
    };
    match found {
        Some((database, true)) => Ok(database),
        Some((_, false)) => Err(format!("database {name:?} takes no connections")),
        None => Err(format!("volguard.database names {name:?}, which does not exist")),
    }
}
