//! The lock on a service that keeps fencing apart from everything that relies on the service being alive.
//!
//! A transaction that inserts into `workers` for a service, or checks one of its tokens, takes the lock shared and keeps it
//! until it ends. A fence takes it exclusive. So a check and the commit that it guards are never parted by a fence, and when
//! a fence has the lock, every earlier acquire has committed and is seen by the cleanup.
//!
//! Order of locks, the same everywhere: wait queue, service lock, rows.

use crate::pg::error::Error;
use crate::wait::Deadline;
use crate::wait::tag::{Kind, Mode, Tag};

/// The lock of one service.
pub struct ServiceLock(Tag);

impl ServiceLock {
    pub fn of(service_id: i64) -> Self {
        let number = service_id.cast_unsigned();
        ServiceLock(Tag::of_number(Kind::ServiceLock, number))
    }

    /// Held until the transaction ends, or [`ServiceLock::unlock_shared`].
    pub fn lock_shared(&self) -> Result<(), Error> {
        self.0.lock(Mode::Shared)
    }

    /// False if a fence holds the lock, and still does at the deadline.
    pub fn lock_shared_within(&self, deadline: &Deadline) -> Result<bool, Error> {
        if self.try_lock_shared()? {
            return Ok(true);
        }
        let locked = deadline.bound(|| self.lock_shared())?;
        Ok(locked.is_some())
    }

    pub fn try_lock_shared(&self) -> Result<bool, Error> {
        self.0.try_lock(Mode::Shared)
    }

    pub fn unlock_shared(&self) {
        self.0.unlock(Mode::Shared);
    }

    /// Held until the transaction ends. Waits for every transaction that has it shared.
    pub fn lock_exclusive(&self) -> Result<(), Error> {
        self.0.lock(Mode::Exclusive)
    }

    pub fn try_lock_exclusive(&self) -> Result<bool, Error> {
        self.0.try_lock(Mode::Exclusive)
    }

    /// Takes back a [`ServiceLock::try_lock_exclusive`] after which nothing was done.
    pub fn unlock_exclusive(&self) {
        self.0.unlock(Mode::Exclusive);
    }
}
