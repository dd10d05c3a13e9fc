//! The lock on a service that keeps fencing apart from everything that relies on the service being alive.
//!
//! A transaction that inserts into `workers` for a service, or checks one of its tokens, takes the lock shared and
//! keeps it until it ends. A fence takes the lock exclusive. So no fence comes between a check and the commit that it
//! guards. And when a fence has the lock, every earlier acquire has committed and is visible to the cleanup.
//!
//! Order of locks, the same everywhere: wait queue, service lock, rows.

use super::in_time;
use crate::pg::error::Error;
use crate::wait::Deadline;
use crate::wait::tag::{Mode, Tag, TagKind};

/// The lock of one service.
pub struct ServiceLock(Tag, i64);

impl ServiceLock {
    pub fn of(service_id: i64) -> Self {
        let number = service_id.cast_unsigned();
        ServiceLock(Tag::of_number(TagKind::ServiceLock, number), service_id)
    }

    /// Waits for a fence. Held until the transaction ends, or [`ServiceLock::unlock_shared`].
    pub fn lock_shared(&self) -> Result<(), Error> {
        self.0.lock(Mode::Shared)
    }

    pub fn tag(&self) -> &Tag {
        &self.0
    }

    /// False if a fence still holds the lock at the deadline. `before_wait` is called if the call has to wait.
    pub fn lock_shared_within(
        &self,
        deadline: &Deadline,
        before_wait: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        if self.try_lock_shared()? {
            return Ok(true);
        }
        if deadline.left().is_zero() {
            return Ok(false);
        }
        before_wait()?;
        let locked = deadline.bound(|| self.lock_shared())?;
        Ok(locked.is_some())
    }

    pub fn try_lock_shared(&self) -> Result<bool, Error> {
        self.0.try_lock(Mode::Shared)
    }

    pub fn unlock_shared(&self) {
        self.0.unlock(Mode::Shared);
    }

    /// Held until the transaction ends. Waits for every transaction that has it shared, for some seconds at most.
    pub fn lock_exclusive_in_time(&self, deadline: &Deadline) -> Result<(), Error> {
        let service_id = self.1;
        let in_use =
            || format!("a transaction that relies on service {service_id} has not ended, so it can't be fenced");
        in_time::lock(&self.0, deadline, in_use)
    }

    pub fn try_lock_exclusive(&self) -> Result<bool, Error> {
        self.0.try_lock(Mode::Exclusive)
    }

    /// Undoes a [`ServiceLock::try_lock_exclusive`]. Only if nothing was written since.
    pub fn unlock_exclusive(&self) {
        self.0.unlock(Mode::Exclusive);
    }
}
