//! Calls that are repeated until they are answered.

use crate::{Error, backoff::pauses};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sends a call again after an error that leaves its outcome open, until `deadline` and once at least; then also where
/// nothing could be sent. Without a deadline for ever, from the first error on.
///
/// With the answer comes the error of an earlier try that may have taken effect.
pub(crate) async fn until_answered<T, F: Future<Output = Result<T, Error>>>(
    verb: &'static str,
    deadline: Option<Instant>,
    call: impl Fn() -> F,
) -> (Result<T, Error>, Option<Error>) {
    let mut doubt = None;
    for pause in std::iter::once(Duration::ZERO).chain(pauses()) {
        let error = match call().await {
            Err(error) => error,
            answer => return (answer, doubt),
        };
        let unsent = matches!(error, Error::Connect { .. } | Error::PoolExhausted) && error.is_retryable();
        if error.leaves_doubt() {
            doubt = Some(error);
        } else if !unsent || (doubt.is_none() && deadline.is_some()) {
            return (Err(error), doubt);
        }
        if !pause.is_zero() && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let error = doubt.expect("without one it is not repeated");
            return (Err(error), None);
        }
        tracing::debug!(verb, "is repeated");
        sleep(pause).await;
    }
    unreachable!("the pauses have no end")
}
