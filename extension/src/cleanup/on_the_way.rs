//! Cleanup on the way: an acquire frees its own keys of dead holders. What else these services have is left to others.
//!
//! It frees plain locks. Work is repaired by a process: see [`super::ask`].

use super::fences::fence_late;
use super::tally::Tallies;
use crate::pg::error::Error;
use crate::pg::spi::{Rows, arg};
use crate::service::service_lock::ServiceLock;
use crate::store::{removal, sql};
use crate::wait::Deadline;
use std::time::Duration;

/// With a wait of zero, a lock wait that the cleanup runs into ends after this. There should be none.
const NO_WAIT: Duration = Duration::from_millis(1);

/// As above, with a wait.
const PATIENCE: Duration = Duration::from_millis(500);

/// A plain lock in the way whose holder is dead.
#[derive(Clone, Copy, Debug)]
pub struct Obstacle {
    pub token: i64,
    pub service_id: i64,
    /// Otherwise its holder's lease is over, and it has to be fenced first.
    pub is_fenced: bool,
}

/// Frees the keys, and runs `then`: both, or neither if `then` returns none, or if something is taken. What is kept
/// would stay uncommitted for as long as the acquire waits on, and hold up what else those services had.
pub fn clear_and<T>(
    deadline: &Deadline,
    obstacles: &[Obstacle],
    then: impl FnOnce() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    deadline.attempt(deadline.left().clamp(NO_WAIT, PATIENCE), || match clear(obstacles)? {
        true => then(),
        false => Ok(None),
    })
}

/// False, and all to be undone, if not everything could be freed. Nothing is written before all service locks are had.
fn clear(obstacles: &[Obstacle]) -> Result<bool, Error> {
    let mut late: Vec<i64> = obstacles.iter().filter(|it| !it.is_fenced).map(|it| it.service_id).collect();
    // In order, so that of two calls that clear keys of the same services one succeeds.
    late.sort_unstable();
    late.dedup();
    for service_id in &late {
        if !ServiceLock::of(*service_id).try_lock_exclusive()? {
            return Ok(false);
        }
    }
    if !late.is_empty() && fence_late(&late)?.len() < late.len() {
        return Ok(false);
    }
    let tokens: Vec<i64> = obstacles.iter().map(|it| it.token).collect();
    let owners = |rows: &Rows| rows.each(|row| rows.get::<i64>(row, 6));
    let freed = removal::remove_reading(&sql::FREE_PLAIN_TOKENS, &[arg(tokens)], owners)?;
    if freed.len() < obstacles.len() {
        return Ok(false);
    }
    let mut tallies = Tallies::default();
    for service_id in freed {
        tallies.of(service_id).locks_released += 1;
    }
    tallies.record_keys()?;
    Ok(true)
}
