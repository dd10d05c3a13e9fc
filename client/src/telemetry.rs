//! What is told about each call: a `tracing` span with its outcome, and metrics if the feature `metrics` is on.

use crate::error::Error;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// Runs one call of a verb inside a span, and reports how it ended.
pub(crate) async fn observed<T>(verb: &'static str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let began = Instant::now();
    let answer = call.instrument(tracing::debug_span!("volguard", verb)).await;
    let took = began.elapsed();
    match &answer {
        Ok(_) => tracing::debug!(verb, ?took, "answered"),
        Err(error) => tracing::debug!(verb, ?took, %error, "failed"),
    }
    #[cfg(feature = "metrics")]
    {
        let code = |error: &Error| error.sqlstate().map_or("client", |state| state.code()).to_owned();
        let outcome = answer.as_ref().err().map_or("ok".to_owned(), code);
        metrics::counter!("volguard_calls_total", "verb" => verb, "outcome" => outcome).increment(1);
        metrics::histogram!("volguard_call_seconds", "verb" => verb).record(took.as_secs_f64());
    }
    answer
}

/// Reports how long a request for locks waited, in this process and in the database.
#[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::missing_const_for_fn, reason = "for metrics"))]
pub(crate) fn waited(granted: bool, time: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("volguard_acquire_seconds", "granted" => granted.to_string()).record(time.as_secs_f64());
}
