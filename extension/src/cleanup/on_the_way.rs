//! Cleanup on the way: an acquire has dead holders cleaned up that block it.

use super::cleanup;
use crate::pg::error::Error;
use crate::wait::Deadline;
use std::time::Duration;

/// With a wait of zero, a lock wait that the cleanup runs into ends after this.
const NO_WAIT: Duration = Duration::from_millis(1);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    Cleared,
    /// The crash rule failed.
    InVain,
    /// Another cleanup runs, a row that this one needs is locked, or the holder is back.
    Busy,
}

/// Cleans up after services that were found dead; `look` says whether that cleared the way. It is kept only if it did:
/// otherwise the cleanup would stay uncommitted for as long as the acquire waits.
pub fn clear(
    deadline: &Deadline,
    services: impl IntoIterator<Item = i64>,
    look: impl FnOnce() -> Result<Clearing, Error>,
) -> Result<Clearing, Error> {
    let most = deadline.left().max(NO_WAIT);
    let mut seen = Clearing::Busy;
    deadline.attempt(most, || {
        for service_id in services {
            if !cleanup::unless_busy(service_id)? {
                return Ok(None);
            }
        }
        seen = look()?;
        Ok((seen == Clearing::Cleared).then_some(()))
    })?;
    Ok(seen)
}
