//! Processes of ours beside the sessions: starting one, its signals, its end.

use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys::{self, Datum, Oid, pqsigfunc};
use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};

/// Settings of a database or a role that could make all that a process does fail.
const SETTINGS: [(&CStr, &CStr); 7] = [
    (c"role", c"none"),
    (c"exit_on_error", c"off"),
    (c"row_security", c"on"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"lock_timeout", c"0"),
];

/// A process of ours, which starts when the server takes writes.
pub fn described(name: &str, function: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(name).set_library("$libdir/volguard").set_function(function).enable_spi_access()
}

/// The first calls of a new process, in Postgres' order: it connects as the bootstrap superuser, which every cluster
/// has. The shutdown of the server ends it as it ends any statement.
pub fn connect(database: Oid, name: &CStr) {
    on_signal(signal::SIGTERM, Some(signal::die));
    // SAFETY: a new process, in which nothing else has run.
    unsafe {
        pg_sys::BackgroundWorkerUnblockSignals();
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, Oid::INVALID, 0);
        pg_sys::pgstat_report_appname(name.as_ptr());
    }
    for (name, value) in SETTINGS {
        set(name, value);
    }
    // A time limit of whole transactions would end the process.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    set(c"transaction_timeout", c"0");
}

/// From now on this is a session of the role: what its code asks is whether `session_user` may do something. Statements
/// on volguard's tables run as their owner nevertheless. In a transaction.
pub fn be_session_of(role: Oid) {
    // SAFETY: a catalog lookup; then variables of a process that has begun as the bootstrap superuser, which may be
    // any.
    unsafe { pg_sys::SetSessionAuthorization(role, pg_sys::superuser_arg(role)) };
}

/// Sets a setting for as long as the process lives.
pub fn set(name: &CStr, value: &CStr) {
    let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
    // SAFETY: C strings that Postgres copies.
    unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source) };
}

/// Postgres' own signal handlers. pgrx's bindings are Rust functions around these, which a signal must not enter.
pub mod signal {
    use std::ffi::c_int;

    unsafe extern "C-unwind" {
        /// Has the running statement end the process.
        pub fn die(signal: c_int);
        pub fn SignalHandlerForConfigReload(signal: c_int);
        pub fn SignalHandlerForShutdownRequest(signal: c_int);
    }

    pub use pgrx::pg_sys::{SIGHUP, SIGTERM};
}

/// Installs a signal handler. Signals are held back until `BackgroundWorkerUnblockSignals`.
pub fn on_signal(number: u32, handler: pqsigfunc) {
    // SAFETY: the handlers are Postgres' own.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(number as c_int, handler);
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(number as c_int, handler);
    }
}

/// A process that this one has started. The latch of this one is set when it ends.
pub struct Process(NonNull<pg_sys::BackgroundWorkerHandle>);

impl Process {
    /// `None` if `max_worker_processes` leaves no room for one more.
    pub fn start(name: &str, function: &str, argument: Datum) -> Option<Process> {
        // SAFETY: a plain variable of the process.
        let starter = unsafe { pg_sys::MyProcPid };
        let description = described(name, function).set_argument(Some(argument)).set_notify_pid(starter);
        let mut worker = pg_sys::BackgroundWorker::from(&description);
        let mut handle = ptr::null_mut();
        // SAFETY: a description that Postgres copies; it sets the handle, which is ours to free, if it has room.
        unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) };
        NonNull::new(handle).map(Process)
    }

    /// Whether it has not ended: it runs, or is yet to start.
    pub fn is_alive(&self) -> bool {
        use pg_sys::BgwHandleStatus::{BGWH_NOT_YET_STARTED, BGWH_STARTED};
        let mut pid = 0;
        // SAFETY: a handle that isn't freed.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.0.as_ptr(), &mut pid) };
        matches!(status, BGWH_NOT_YET_STARTED | BGWH_STARTED)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: allocated by RegisterDynamicBackgroundWorker, and not used any more.
        unsafe { pg_sys::pfree(self.0.as_ptr().cast()) };
    }
}
