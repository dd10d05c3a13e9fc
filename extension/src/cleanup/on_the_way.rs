//! Cleanup on the way: an acquire has dead holders cleaned up that block it.

use super::cleanup;
use crate::pg::error::Error;
use crate::wait::Deadline;
use std::time::Duration;

/// With a wait of zero, a lock wait that the cleanup runs into ends after this.
const NO_WAIT: Duration = Duration::from_millis(1);

/// How long a lock wait that the cleanup runs into may take, before all is undone and the acquire waits without it.
/// Until then it holds locks on tables, behind which DDL queues. Below `deadlock_timeout`, so that a circle through a
/// user's row opens before Postgres looks for a deadlock.
const PATIENCE: Duration = Duration::from_millis(500);

/// Cleans up after services that were found dead, and runs `then`: both, or neither if `then` returns none. A cleanup
/// that is kept would stay uncommitted for as long as the acquire waits on, and hold up what else those services had.
/// `None` without `then` if another cleanup runs, or a row that this one needs is locked.
pub fn clean_up_and<T>(
    deadline: &Deadline,
    services: impl IntoIterator<Item = i64>,
    then: impl FnOnce() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    deadline.attempt(deadline.left().clamp(NO_WAIT, PATIENCE), || {
        for service_id in services {
            if !cleanup::unless_busy(service_id)? {
                return Ok(None);
            }
        }
        then()
    })
}
