//! A thread that records the loss of a session when its deadline passes.
//!
//! Calls check the clocks themselves. This thread is for tasks that wait for the loss: the runtime's timers don't count
//! a suspension of the machine, and are late when all its threads are busy.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::lease::Lease;

/// A thread outlives its session by this time at most.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// Watches until the lease is lost or dropped.
pub(super) fn keep(lease: &Arc<Lease>) {
    let lease = Arc::downgrade(lease);
    let thread = thread::Builder::new().name("volguard-lease".to_owned()).spawn(move || watch(&lease));
    if let Err(error) = thread {
        tracing::warn!(%error, "can't start the thread that watches the lease; only the runtime's timers watch it");
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
