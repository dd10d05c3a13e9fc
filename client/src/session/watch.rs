//! A thread that writes down the loss of a session when it is due.
//!
//! Whoever asks looks at the clocks himself. This is for those who wait to be told: the runtime's timers don't count a
//! suspension of the machine, and are late when all its threads are busy.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::lease::Lease;

/// A thread outlives its session for that long at most.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// Until the lease is lost, or dropped.
pub(super) fn keep(lease: &Arc<Lease>) {
    let lease = Arc::downgrade(lease);
    let thread = thread::Builder::new().name("volguard-lease".to_owned()).spawn(move || watch(&lease));
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread to watch over the lease; the runtime's timers have to do");
    }
}

fn watch(lease: &Weak<Lease>) {
    while let Some(deadline) = lease.upgrade().and_then(|lease| {
        let held = lease.check().is_ok();
        lease.deadline().filter(|_| held)
    }) {
        deadline.block(LONGEST_NAP);
    }
}
