//! What is told about each call: a `tracing` span with its outcome, and metrics if the feature `metrics` is on.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::error::Error;

/// Runs one call of a verb inside a span, and reports how it ended.
pub(crate) async fn observed<T>(verb: &'static str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let began = Instant::now();
    let answer = call.instrument(tracing::debug_span!("volguard", verb)).await;
    let took = began.elapsed();
    match &answer {
        Ok(_) => tracing::debug!(verb, ?took, "answered"),
        Err(error) => tracing::debug!(verb, ?took, %error, "failed"),
    }
    count(verb, took, answer.as_ref().err());
    answer
}

#[cfg(feature = "metrics")]
fn count(verb: &'static str, took: Duration, error: Option<&Error>) {
    let outcome = match error {
        None => "ok".to_owned(),
        Some(error) => error.sqlstate().map_or("client".to_owned(), |state| state.code().to_owned()),
    };
    metrics::counter!("volguard_calls_total", "verb" => verb, "outcome" => outcome).increment(1);
    metrics::histogram!("volguard_call_seconds", "verb" => verb).record(took.as_secs_f64());
}

#[cfg(not(feature = "metrics"))]
fn count(_: &'static str, _: Duration, _: Option<&Error>) {}

/// Reports how long a request for locks waited, in this process and in the database.
#[cfg_attr(not(feature = "metrics"), allow(clippy::missing_const_for_fn, reason = "it reports with the feature"))]
pub(crate) fn waited(granted: bool, time: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("volguard_acquire_seconds", "granted" => granted.to_string()).record(time.as_secs_f64());
    #[cfg(not(feature = "metrics"))]
    let _ = (granted, time);
}
