//! The waiting line of a key, and the head's sleep.

use super::deadline::Deadline;
use super::tag::{Kind, Mode, Tag};
use super::{client, wake};
use crate::pg::catch::{catching, check_interrupts, raw};
use crate::pg::error::Error;
use pgrx::pg_sys;
use std::time::Duration;

/// A wake-up can only be missed where a transaction was prepared (two-phase commit). This long, at most, it then takes.
const SAFETY_POLL: Duration = Duration::from_secs(1);

/// The waiting line of one key, or of one work slot. Its lock is held until the transaction ends, so that an insert
/// which isn't committed yet keeps everybody else out of the way.
#[derive(Clone, Copy)]
pub struct WaitQueue(Tag);

impl WaitQueue {
    pub fn of_key(resource_type: &str, resource_id: &str, lock_name: &str) -> Self {
        WaitQueue(Tag::of_names(
            Kind::Queue,
            &[resource_type, resource_id, lock_name],
        ))
    }

    pub fn of_work(resource_type: &str, resource_id: &str) -> Self {
        WaitQueue(Tag::of_names(
            Kind::WorkQueue,
            &[resource_type, resource_id],
        ))
    }

    /// Whoever heads several lines takes them in this order: those of keys before those of work slots, as acquire does.
    pub fn order(&self) -> (u16, u32, u32) {
        self.0.order()
    }

    /// Becomes head if nobody is.
    pub fn try_head(&self) -> Result<bool, Error> {
        self.0.try_lock(Mode::Exclusive)
    }

    /// Queues until head; false if the time ran out first.
    pub fn become_head(&self, deadline: &Deadline) -> Result<bool, Error> {
        let headed = deadline.bound(|| self.0.lock(Mode::Exclusive))?;
        Ok(headed.is_some())
    }

    /// Steps down, for the next in line.
    pub fn leave(&self) {
        self.0.unlock(Mode::Exclusive);
    }

    /// Has the head, if there is one, woken when this transaction commits.
    pub fn wake_after_commit(&self) {
        wake::after_commit(&self.0);
    }
}

impl PartialEq for WaitQueue {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

/// Gets ready for [`sleep`]: a wake-up that comes after this is not lost. Look at the row between the two.
pub fn before_lookup() -> Result<(), Error> {
    // SAFETY: the backend's own latch.
    unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
    check_interrupts()
}

/// Sleeps until woken, but for `most` and a second at the longest. Ends the session if its client has gone meanwhile.
pub fn sleep(most: Duration) -> Result<(), Error> {
    let most = most.min(SAFETY_POLL);
    // A tenth of a millisecond left must not become a busy loop.
    let millis = (most.as_micros().div_ceil(1000)) as i64;
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: the backend's own latch.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as i32,
            millis,
            pg_sys::PG_WAIT_EXTENSION,
        )
    };
    check_interrupts()?;
    client::check()
}

/// Waits for a transaction to end; false if the time ran out first.
pub fn wait_for_transaction(
    xid: pg_sys::TransactionId,
    deadline: &Deadline,
) -> Result<bool, Error> {
    let ended = deadline.bound(|| {
        let (none, no_row) = (std::ptr::null_mut(), std::ptr::null_mut());
        let oper = pg_sys::XLTW_Oper::XLTW_None;
        // SAFETY: a relation and a row are only named for the error's context; the closure owns nothing.
        unsafe { catching(|| raw::XactLockTableWait(xid, none, no_row, oper)) }
    })?;
    Ok(ended.is_some())
}
