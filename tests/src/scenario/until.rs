//! Waiting for a state that no event announces.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(3);
/// Long enough for a busy machine; a state that is reached takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `look` until it finds something.
///
/// # Errors
/// An error of `look`, or one that names `what` if it does not come about within [`PATIENCE`].
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    until_within(PATIENCE, what, look).await
}

/// As [`until`], for a state that takes longer to come about.
///
/// # Errors
/// As [`until`].
pub async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {limit:?} in vain for {what}");
        }
        sleep(PAUSE).await;
    }
}
