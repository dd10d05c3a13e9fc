//! Pauses between tries.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::sleep;

use crate::error::Error;

/// Used for longer times, which the clock may not be able to count.
pub(crate) const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Pauses that double from a tenth of a second to five seconds, with jitter, without end.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    const LONGEST: Duration = Duration::from_secs(5);
    let builder = ExponentialBuilder::default().with_jitter().without_max_times();
    let pauses = builder.with_min_delay(Duration::from_millis(100)).with_max_delay(LONGEST).build();
    pauses.chain(std::iter::repeat(LONGEST))
}

/// Repeats a call whose failure passes, until `go_on` says that it is enough. Its last error is returned.
pub(crate) async fn repeated<T, F: Future<Output = Result<T, Error>>>(
    mut call: impl FnMut() -> F,
    go_on: impl Fn() -> bool,
) -> Result<T, Error> {
    let mut pauses = pauses();
    loop {
        match call().await {
            Err(error) if error.is_retryable() && go_on() => tracing::debug!(%error, "a call is repeated"),
            answer => return answer,
        }
        sleep(pauses.next().unwrap_or_default()).await;
    }
}
