//! The wait queue of a key, and the sleep of its head.

use super::deadline::Deadline;
use super::tag::{Mode, Tag, TagKind};
use super::{client, wake};
use crate::pg::catch::{catching, check_interrupts, raw};
use crate::pg::error::Error;
use pgrx::pg_sys;
use std::time::Duration;

/// A wake-up is missed only if the releasing transaction was prepared (two-phase commit). Then the head finds the
/// change after this time.
const SAFETY_POLL: Duration = Duration::from_secs(1);

/// The wait queue of one key, or of one work slot. Its lock is held until the transaction ends, so that other calls
/// queue behind an insert that isn't committed yet.
#[derive(Clone, Copy)]
pub struct WaitQueue(Tag);

impl WaitQueue {
    pub fn of_key(resource_type: &str, resource_id: &str, lock_name: &str) -> Self {
        WaitQueue(Tag::of_names(TagKind::Queue, &[resource_type, resource_id, lock_name]))
    }

    pub fn of_work(resource_type: &str, resource_id: &str) -> Self {
        WaitQueue(Tag::of_names(TagKind::WorkQueue, &[resource_type, resource_id]))
    }

    pub fn tag(&self) -> &Tag {
        &self.0
    }

    /// A call that heads several queues takes them in this order: those of keys before those of work slots.
    pub fn order(&self) -> (u16, u32, u32) {
        self.0.order()
    }

    /// Becomes head if the queue has none.
    pub fn try_head(&self) -> Result<bool, Error> {
        self.0.try_lock(Mode::Exclusive)
    }

    /// Waits until head; false if the time ran out first.
    pub fn become_head(&self, deadline: &Deadline) -> Result<bool, Error> {
        let headed = deadline.bound(|| self.0.lock(Mode::Exclusive))?;
        Ok(headed.is_some())
    }

    /// Leaves the queue: the next call becomes head.
    pub fn leave(&self) {
        self.0.unlock(Mode::Exclusive);
    }

    /// Wakes the head, if there is one, when this transaction has committed.
    pub fn wake_after_commit(&self) {
        wake::after_commit(&self.0);
    }
}

impl PartialEq for WaitQueue {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

/// Prepares for [`sleep`]: a wake-up that comes after this is not lost. Look up the row between the two.
pub fn before_lookup() -> Result<(), Error> {
    // SAFETY: the backend's own latch.
    unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
    check_interrupts()
}

/// Sleeps until woken, for `most` and [`SAFETY_POLL`] at the longest. Ends the session if its client has closed the
/// connection.
pub fn sleep(most: Duration) -> Result<(), Error> {
    let most = most.min(SAFETY_POLL);
    // Rounded up, so that less than a millisecond is no busy loop.
    let millis = (most.as_micros().div_ceil(1000)) as i64;
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: the backend's own latch.
    unsafe { pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, millis, pg_sys::PG_WAIT_EXTENSION) };
    check_interrupts()?;
    client::check()
}

/// Waits for a transaction to end; false if the time ran out first.
pub fn wait_for_transaction(xid: pg_sys::TransactionId, deadline: &Deadline) -> Result<bool, Error> {
    let ended = deadline.bound(|| {
        let (none, no_row) = (std::ptr::null_mut(), std::ptr::null_mut());
        let oper = pg_sys::XLTW_Oper::XLTW_None;
        // SAFETY: relation and row would only be named in an error's context; the closure owns nothing.
        unsafe { catching(|| raw::XactLockTableWait(xid, none, no_row, oper)) }
    })?;
    Ok(ended.is_some())
}
