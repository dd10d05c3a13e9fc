//! Rows that another transaction moves to another partition while an update waits for them.
//!
//! Postgres can't follow such a row: under READ COMMITTED, too, the statement fails with 40001. Here it is run again,
//! and finds the row where it is now.

use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::spi::transaction_snapshot_only;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Oid};

/// How often an update is tried. Each time another transaction has moved the row meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// Is it a partitioned table, or a view, behind which one may be, or a partition, which a row may leave?
pub fn may_move(target: Oid) -> bool {
    // SAFETY: a catalog look-up of a running transaction.
    let kind = unsafe { pg_sys::get_rel_relkind(target) } as u8;
    // SAFETY: as above.
    let is_partition = || unsafe { pg_sys::get_rel_relispartition(target) };
    matches!(kind, pg_sys::RELKIND_PARTITIONED_TABLE | pg_sys::RELKIND_VIEW) || is_partition()
}

/// Runs `update`, each time in a subtransaction, until no row that it waits for is moved.
pub fn again_if_moved<T>(mut update: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    const MOVED: [u8; 5] = *b"40001";
    let mut attempts = 1..MOST_ATTEMPTS;
    loop {
        match attempt(|| update().map(Some)) {
            Err(error) if error.sqlstate() == MOVED && may_repeat() && attempts.next().is_some() => {}
            result => return result.map(|value| value.expect("kept, as it is a value")),
        }
    }
}

/// With one snapshot for the whole transaction the row would be found where it was.
fn may_repeat() -> bool {
    !transaction_snapshot_only() && !sabotage::removed(Guard::MovedRow)
}
