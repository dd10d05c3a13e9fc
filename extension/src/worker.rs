//! The optional background worker: cleans up one database, every so often, without any client.
//!
//! It needs `shared_preload_libraries`. A [`launcher`] lives as long as the server and belongs to no database, so that it
//! can look for one that isn't there yet and stands in the way of no `DROP DATABASE`. For each cleaning it has the server
//! start a process that connects, does its one transaction and ends ([`tick`]): whatever goes wrong there, or is
//! dropped, is forgotten by the next one.

mod launcher;
mod tick;

use pgrx::PgAtomic;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys::{self, pqsigfunc};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long the server waits before it starts a launcher that has ended again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// How the last tick ended: the one thing that it has to tell.
// SAFETY: the name is ours.
static RESULT: PgAtomic<AtomicU32> = unsafe { PgAtomic::new(c"volguard cleanup result") };

/// Values of [`RESULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Outcome {
    /// It didn't get to its end, and has told the log why.
    Broken,
    Cleaned,
    NotInstalled,
}

impl Outcome {
    fn write(self) {
        RESULT.get().store(self as u32, Ordering::Relaxed);
    }

    fn read() -> Outcome {
        let result = RESULT.get().load(Ordering::Relaxed);
        [Outcome::Cleaned, Outcome::NotInstalled]
            .into_iter()
            .find(|outcome| *outcome as u32 == result)
            .unwrap_or(Outcome::Broken)
    }
}

/// Has the server start the launcher, if the library is loaded by `shared_preload_libraries`; a session's own load changes
/// nothing.
pub fn register() {
    // SAFETY: a plain variable of the server.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    share_result();
    described("volguard cleanup launcher", "volguard_cleanup_launcher")
        .set_restart_time(Some(RESTART_AFTER))
        .load();
}

/// pgrx's macro asks for the feature of a Postgres that we don't know.
#[allow(unexpected_cfgs)]
fn share_result() {
    use pgrx::pg_guard;
    pgrx::pg_shmem_init!(RESULT);
}

/// A process of ours, which starts when the server takes writes.
fn described(name: &str, function: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(name)
        .set_library("volguard")
        .set_function(function)
        .enable_spi_access()
}

/// Postgres' own signal handlers, and the call that installs them. pgrx's bindings are Rust functions around these, which a
/// signal must not enter.
mod signal {
    use std::ffi::c_int;

    unsafe extern "C-unwind" {
        /// Has the running statement end the process.
        pub fn die(signal: c_int);
        pub fn SignalHandlerForConfigReload(signal: c_int);
        pub fn SignalHandlerForShutdownRequest(signal: c_int);
    }

    pub use pgrx::pg_sys::{SIGHUP, SIGTERM};
}

/// Has a signal handled. All are held back until `BackgroundWorkerUnblockSignals`.
fn on_signal(number: u32, handler: pqsigfunc) {
    // SAFETY: the handlers are Postgres' own.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(number as c_int, handler);
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(number as c_int, handler);
    }
}
