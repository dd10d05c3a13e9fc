//! Waiting for a state that announces itself by no event.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);
/// Long enough for a machine that is busy with something else; a state that comes takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until `look` finds something.
///
/// # Errors
/// What `look` fails with, and an error that names `what` if it does not come about within [`PATIENCE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        sleep(PAUSE).await;
    }
}
