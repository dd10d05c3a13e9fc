//! The guard of work.

use std::fmt;
use std::ops::Deref;

use super::FinishWork;
use crate::lock::Lock;
use crate::update::UpdatedRow;

/// Work under way: a [`Lock`], which it can be used as, and the row that was changed with it. Made by
/// [`Session::start_work`](crate::Session::start_work).
///
/// [`finish`](Work::finish) it with the final state of the row, which frees the lock in the same commit.
///
/// A guard that is dropped before that leaves everything as it is, and logs a warning: the row keeps the status of the
/// work, and the lock stays held, because only the program knows the final state of the row. Both stay until the
/// session ends, in whatever way. The work then counts as crashed, and cleanup repairs it by its rule. Before that, a
/// request with the same [`StartWork::request_id`](crate::StartWork::request_id) returns the work again.
#[must_use = "work that is dropped stays unfinished"]
pub struct Work {
    lock: Lock,
    row: UpdatedRow,
}

impl Work {
    pub(super) fn new(mut lock: Lock) -> Work {
        let row = lock.take_row().unwrap_or(UpdatedRow::NONE);
        Work { lock, row }
    }

    /// The row as the start of the work left it. If an earlier request with the same id had started the work, it is the
    /// row at the time of the later request, or `null` if the row was gone.
    pub fn row(&self) -> &UpdatedRow {
        &self.row
    }

    /// Prepares to write the final state and free the lock, both or neither. Nothing happens before the result is
    /// awaited. If it is refused, the work continues and can be finished in another way.
    pub fn finish(&mut self) -> FinishWork<'_> {
        FinishWork::new(self)
    }

    /// The lock alone, which is released when it is dropped, whatever the state of the row. For work that has no row
    /// any more, or whose final state was written otherwise.
    pub fn into_lock(self) -> Lock {
        self.lock.without_work()
    }

    pub(super) fn end(&mut self) {
        self.lock.end();
    }
}

impl Deref for Work {
    type Target = Lock;

    fn deref(&self) -> &Lock {
        &self.lock
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("lock", &self.lock).finish_non_exhaustive()
    }
}
