//! Locks that a call gets within some seconds, or not at all.
//!
//! A registration has to wait: for transactions that have checked a token of the earlier incarnation, and for another
//! registration of the same identity. Such a transaction may have been left open.

use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::wait::Deadline;
use crate::wait::tag::{Mode, Tag};
use std::time::Duration;

/// How long a call waits, in all.
const PATIENCE: Duration = Duration::from_secs(5);

pub const HINT: &str = "Try again. If a session was left open in a transaction, end it with pg_terminate_backend; a prepared transaction, with ROLLBACK PREPARED.";

/// From now on.
pub fn deadline() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Takes a lock exclusively. `what` is busy, says the error, if it is not free in time.
pub fn lock(tag: &Tag, deadline: &Deadline, what: impl FnOnce() -> String) -> Result<(), Error> {
    lock_in(Mode::Exclusive, tag, deadline, what)
}

/// The same, shared.
pub fn lock_shared(tag: &Tag, deadline: &Deadline, what: impl FnOnce() -> String) -> Result<(), Error> {
    lock_in(Mode::Shared, tag, deadline, what)
}

fn lock_in(mode: Mode, tag: &Tag, deadline: &Deadline, what: impl FnOnce() -> String) -> Result<(), Error> {
    if tag.try_lock(mode)? {
        return Ok(());
    }
    if sabotage::removed(Guard::RegisterPatience) {
        return tag.lock(mode);
    }
    match deadline.bound(|| tag.lock(mode))? {
        Some(()) => Ok(()),
        None => Err(Error::Waited { what: what(), holders: holders(tag)?, hint: HINT }),
    }
}

/// Runs a statement that locks a row.
pub fn run<T>(
    deadline: &Deadline,
    what: impl FnOnce() -> String,
    statement: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let result = deadline.bound(statement)?;
    result.ok_or_else(|| Error::Waited { what: what(), holders: Vec::new(), hint: HINT })
}

/// The processes that have the lock.
fn holders(tag: &Tag) -> Result<Vec<i32>, Error> {
    let (class, object, kind) = tag.shown_as();
    sql::HOLDERS.run(&[arg(class), arg(object), arg(kind)], |rows| rows.each(|row| rows.get(row, 0)))
}
