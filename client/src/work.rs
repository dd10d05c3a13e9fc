//! A lock and the status of its resource, which change together.

mod finish;
mod start;

use std::fmt;
use std::ops::Deref;

pub use self::finish::FinishWork;
pub use self::start::StartWork;
use crate::error::Error;
use crate::lock::{Guard, Held, Lock};
use crate::reaper::OnDrop;
use crate::row::UpdatedRow;

/// Work under way: a lock, whose methods are those of [`Held`], and the row that was changed with it. Made by
/// [`Session::start_work`](crate::Session::start_work).
///
/// [`finish`](Work::finish) it with the final state of the row, which frees the lock in the same commit.
///
/// A guard that is dropped before that leaves everything as it is, and logs a warning: the row keeps the status of the
/// work, and the lock stays held, because only the program knows the final state of the row. Both stay until the session
/// ends, in whatever way. The work then counts as crashed, and cleanup repairs it by its rule. Before that, a request with
/// the same [`StartWork::request_id`](crate::StartWork::request_id) returns the work again.
#[must_use = "work that is dropped stays unfinished"]
pub struct Work {
    guard: Guard,
    row: UpdatedRow,
    /// The server has answered the end of it.
    ended: bool,
}

impl Work {
    /// The row as the start of the work left it. If an earlier request with the same id had started the work, it is the
    /// row at the time of the later request, or `null` if the row was gone.
    pub fn row(&self) -> &UpdatedRow {
        &self.row
    }

    /// Sets the status of the work: how far it is, for the rule that may have to repair it. Crash rules go by this status,
    /// and expect the resource's own status to be the same.
    /// *Errors:* Those of [`Lock::set_status`].
    /// *Cancel safety:* When the future is dropped, the status may have been set or not; setting it again is safe.
    pub async fn set_status(&self, status: &str) -> Result<(), Error> {
        self.guard.held.set_status(Some(status)).await
    }

    /// Prepares to write the final state and free the lock, both or neither. Nothing happens before the result is awaited.
    /// If it is refused, the work continues and can be finished in another way.
    pub fn finish(&mut self) -> FinishWork<'_> {
        FinishWork::new(self)
    }

    /// The lock alone, which is released when it is dropped, whatever the state of the row. For work that has no row any
    /// more, or whose final state was written otherwise.
    pub fn into_lock(mut self) -> Lock {
        if !self.ended {
            self.guard.on_drop = OnDrop::Release;
        }
        Lock { guard: self.guard }
    }
}

impl Deref for Work {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.guard.held
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Work").field(&self.guard.held).finish()
    }
}
