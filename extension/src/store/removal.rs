//! Removes rows of `workers`, and wakes the calls that wait for them.

use super::sql::{self, Statement};
use crate::pg::error::Error;
use crate::pg::spi::{Arg, Rows, arg};
use crate::wait::WaitQueue;
use crate::wait::bell::Ring;

/// Runs a statement that deletes rows of `workers` or takes them from their holders. After the commit the heads of
/// their wait queues are woken. Returns the number of rows.
pub fn remove(statement: &Statement, args: &[Arg]) -> Result<usize, Error> {
    remove_reading(statement, args, Rows::len)
}

/// Puts submitted work back into its queue, where any service may take it: the rows of these tokens, as far as they are
/// of submitted work that a service has.
///
/// Calls that wait for the lock sleep on: the lock stays taken.
pub fn put_back(tokens: &[i64]) -> Result<usize, Error> {
    sql::PUT_BACK.run(&[arg(tokens.to_vec())], |rows| {
        for row in 0..rows.len() {
            let name = |column| rows.get::<String>(row, column).unwrap_or_default();
            Ring::of(&name(0), &name(1), &name(2), &name(3)).after_commit();
        }
        rows.len()
    })
}

/// As [`remove`], but hands the removed rows to `read`.
pub fn remove_reading<R>(statement: &Statement, args: &[Arg], read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
    statement.run(args, |rows| {
        for row in 0..rows.len() {
            let name = |column| rows.get::<String>(row, column).unwrap_or_default();
            let working = rows.get(row, 4) == Some(true);
            wake(&name(1), &name(2), &name(3), working);
        }
        read(rows)
    })
}

/// Wakes, after the commit, the heads of the wait queues that a removed row was in the way of.
pub fn wake(resource_type: &str, resource_id: &str, lock_name: &str, working: bool) {
    WaitQueue::of_key(resource_type, resource_id, lock_name).wake_after_commit();
    if working {
        WaitQueue::of_work(resource_type, resource_id).wake_after_commit();
    }
}
