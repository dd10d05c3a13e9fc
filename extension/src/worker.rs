//! The optional background worker: cleans up one database periodically, without any client.
//!
//! It needs `shared_preload_libraries`. A [`launcher`] lives as long as the server and belongs to no database, so
//! that the database may be created later, and `DROP DATABASE` isn't blocked. For each cleanup it has the server
//! start a process that connects, runs one transaction and ends ([`tick`]): no state is carried from one cleanup to
//! the next.

mod launcher;
mod tick;

use crate::pg::process::described;
use pgrx::PgAtomic;
use pgrx::pg_sys;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long the server waits before it starts a launcher that has ended again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Whether the last tick found the extension, for the launcher.
// SAFETY: the name is ours.
static INSTALLED: PgAtomic<AtomicBool> = unsafe { PgAtomic::new(c"volguard installed") };

/// Has the server start the launcher, if the library is loaded by `shared_preload_libraries`. A load by a session
/// changes nothing.
pub fn register() {
    // SAFETY: a plain variable of the server.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    share_memory();
    described("volguard cleanup launcher", "volguard_cleanup_launcher").set_restart_time(Some(RESTART_AFTER)).load();
}

/// pgrx's macro asks for the feature of a Postgres that this crate doesn't know.
#[allow(unexpected_cfgs)]
fn share_memory() {
    use pgrx::pg_guard;
    pgrx::pg_shmem_init!(INSTALLED);
}
