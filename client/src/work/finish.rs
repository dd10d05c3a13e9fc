//! Finishing work.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::Work;
use crate::error::{Error, outcome_unknown};
use crate::lock::Held;
use crate::session::{REPLY_LIMIT, finish};
use crate::statements::{self, Params};
use crate::update::{Expression, IntoExpression, UpdateOutcome, document};

/// Pause between two tries whose connection broke.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A request to finish work. Made by [`Work::finish`]; `.await` it, or call [`run`](FinishWork::run).
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct FinishWork<'w> {
    work: &'w mut Work,
    values: Vec<(String, Expression)>,
}

impl<'w> FinishWork<'w> {
    pub(super) fn new(work: &'w mut Work) -> FinishWork<'w> {
        FinishWork { work, values: Vec::new() }
    }

    /// Sets a column, as [`ConditionalUpdate::set`](crate::ConditionalUpdate::set) does.
    pub fn set(mut self, column: &str, value: impl IntoExpression) -> Self {
        self.values.push((column.to_owned(), value.into_expression()));
        self
    }

    /// Writes the final state and frees the lock in one commit, if the lock is held.
    ///
    /// [`UpdateOutcome::Updated`]: the work is finished. [`UpdateOutcome::Fenced`]: the lock is not held any more, and
    /// nothing was written. [`UpdateOutcome::NotFound`]: the row is gone and the lock still held; release it by
    /// [`Work::into_lock`].
    ///
    /// A broken connection is replaced and the request repeated, until the server has answered or the session is lost.
    ///
    /// # Errors
    /// - [`Error::InvalidDocument`] and [`Error::SessionLost`] without asking the server;
    /// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses the values: the work continues, and
    ///   can be finished in another way;
    /// - the error of the connection, if it broke and the lock is not held any more when the request is repeated:
    ///   either the first request finished the work, or the lock had been taken away before. Read the row.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn run(self) -> Result<UpdateOutcome, Error> {
        let FinishWork { work, values } = self;
        let values = Value::Object(document(values, Expression::into_json)?);
        let held = Arc::clone(work.held());
        let outcome = finish(async move { end(&held, &values).await }).await?;
        if !matches!(outcome, UpdateOutcome::NotFound) {
            work.end();
        }
        Ok(outcome)
    }
}

/// While the end is under way, a dropped guard is no reason for a warning.
async fn end(held: &Held, values: &Value) -> Result<UpdateOutcome, Error> {
    held.set_finishing(true);
    let outcome = ask(held, values).await;
    let ended = matches!(outcome, Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced));
    if ended {
        held.core().known().remove(&held.token());
    }
    held.set_finishing(ended);
    outcome
}

async fn ask(held: &Held, values: &Value) -> Result<UpdateOutcome, Error> {
    let params: Params<'_> = &[&held.token(), values];
    // The error of an earlier try that may have succeeded.
    let mut doubt = None;
    loop {
        held.check()?;
        let volguard = &held.core().volguard;
        let answer = volguard.row_within(REPLY_LIMIT, &statements::FINISH_WORK, params).await;
        let error = match answer {
            Ok(row) => {
                let outcome = UpdateOutcome::read(&row)?;
                if !matches!(outcome, UpdateOutcome::Fenced) {
                    return Ok(outcome);
                }
                held.note_gone();
                return doubt.map_or(Ok(outcome), Err);
            }
            Err(error) => error,
        };
        if is_unknown(&error) {
            doubt = Some(error);
        } else if !matches!(error, Error::Pool(_)) || !error.is_retryable() {
            return Err(held.note(error));
        }
        tracing::debug!(token = held.token(), "finish_work is repeated");
        sleep(RETRY_AFTER).await;
    }
}

/// Whether the server may have finished the work.
fn is_unknown(error: &Error) -> bool {
    match error {
        Error::NoReply => true,
        Error::Database(error) => outcome_unknown(error),
        _ => false,
    }
}

impl<'w> IntoFuture for FinishWork<'w> {
    type Output = Result<UpdateOutcome, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'w>>;

    /// The same as [`run`](FinishWork::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
