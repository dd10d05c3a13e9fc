//! Pauses between tries.

use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// Used for longer times, which the clock may not be able to count.
pub(crate) const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Pauses that double from a tenth of a second to five seconds, with jitter, without end.
pub(crate) fn endless() -> ExponentialBuilder {
    let builder = ExponentialBuilder::default().with_jitter().without_max_times();
    builder.with_min_delay(Duration::from_millis(100)).with_max_delay(Duration::from_secs(5))
}

pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    endless().build()
}
