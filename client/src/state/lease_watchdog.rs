//! A thread, one per process, that records the loss of a session when its deadline passes.
//!
//! Calls check the clocks themselves. This thread is for tasks that wait for the loss: the runtime's timers don't count
//! a suspension of the machine, and are late when all its threads are busy.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::lease::Lease;

/// Nor does the clock of a condition variable count a suspension: after one, the loss is noticed within this time.
const LONGEST_NAP: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Watchdog {
    leases: Mutex<Vec<Weak<Lease>>>,
    added: Condvar,
}

/// Watches a lease until it is lost or dropped.
pub(crate) fn keep(lease: &Arc<Lease>) {
    static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();
    let watchdog = WATCHDOG.get_or_init(Watchdog::default);
    let mut leases = watchdog.leases.lock().unwrap_or_else(PoisonError::into_inner);
    leases.push(Arc::downgrade(lease));
    watchdog.added.notify_one();
    static STARTED: OnceLock<bool> = OnceLock::new();
    STARTED.get_or_init(|| {
        let thread = thread::Builder::new().name("volguard-lease".to_owned()).spawn(|| watchdog.watch());
        if let Err(error) = &thread {
            tracing::warn!(%error, "can't start the thread that watches leases; only the runtime's timers watch them");
        }
        thread.is_ok()
    });
}

impl Watchdog {
    fn watch(&self) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // The check records a loss, which wakes those that wait for it.
            leases.retain(|lease| lease.upgrade().is_some_and(|lease| lease.check().is_ok()));
            let deadlines = leases.iter().filter_map(|lease| lease.upgrade()?.left());
            leases = match deadlines.min() {
                None => self.added.wait(leases).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let nap = self.added.wait_timeout(leases, left.min(LONGEST_NAP));
                    nap.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
