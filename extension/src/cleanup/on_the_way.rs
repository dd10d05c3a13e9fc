//! Having dead holders cleaned up that are in the way of an acquire.

use super::cleanup;
use crate::pg::error::Error;
use crate::wait::Deadline;
use std::time::Duration;

/// With a wait of zero, a lock wait that a cleanup on the way runs into ends after this.
const NO_WAIT: Duration = Duration::from_millis(1);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    Cleared,
    /// The crash rule failed.
    InVain,
    /// Somebody is at it, or has a row locked that it needs, or the holder is back.
    Busy,
}

/// Has services cleaned up that were found dead; `look` says whether that cleared the way. Kept only if it did: otherwise the
/// cleanup would stay uncommitted for as long as we wait on.
pub fn clear(
    deadline: &Deadline,
    services: impl IntoIterator<Item = i64>,
    look: impl FnOnce() -> Result<Clearing, Error>,
) -> Result<Clearing, Error> {
    let most = deadline.left().max(NO_WAIT);
    let mut seen = Clearing::Busy;
    deadline.attempt(most, || {
        for service_id in services {
            if !cleanup::if_nobody_else_does(service_id)? {
                return Ok(None);
            }
        }
        seen = look()?;
        Ok((seen == Clearing::Cleared).then_some(()))
    })?;
    Ok(seen)
}
