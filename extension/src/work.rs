//! `start_work` and `finish_work`: a lock and the status of its resource, which change together or not at all.
//!
//! [`start`] takes the lock and then updates the row, [`finish`] gives the lock back and then updates the row: the user's row
//! comes last in the order of locks (line, gate, rows of `workers`, rows of the user's). [`tracked`] is the row that a
//! resource has.

mod finish;
mod start;
mod tracked;
