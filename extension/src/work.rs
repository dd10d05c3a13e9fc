//! `start_work` and `finish_work`: a lock and the status of its resource, which change together or not at all.
//!
//! [`start`] takes the lock and then updates the row of the resource, [`finish`] releases the lock and then updates the
//! row. So the user's row comes last in the order of locks: wait queue, service lock, rows of `workers`, rows of the
//! user's tables. [`tracked`] is the row of a resource.

mod finish;
mod start;
mod tracked;
