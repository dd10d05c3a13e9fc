//! Finishing work.

use std::future::IntoFuture;
use std::pin::Pin;

use serde_json::value::RawValue;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::sleep;

use super::Work;
use crate::backoff::pauses;
use crate::error::Error;
use crate::lock::Held;
use crate::outcome::UpdateOutcome;
use crate::reaper::OnDrop;
use crate::session::finish;
use crate::sql;
use crate::update::{IntoExpr, Request};

/// A request to finish work. Made by [`Work::finish`]; `.await` it.
///
/// It writes the final state and frees the lock in one commit, if the lock is held.
///
/// [`UpdateOutcome::Updated`]: the work is finished. [`UpdateOutcome::Fenced`]: the lock is not held any more, and nothing
/// was written. [`UpdateOutcome::NotFound`]: the row is gone and the lock still held; release it by [`Work::into_lock`].
///
/// A broken connection is replaced and the request repeated, until the server has answered or the session is lost.
///
/// # Errors
/// When it is awaited:
/// - [`Error::InvalidDocument`] and [`Error::SessionLost`] without asking the server;
/// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses the values: the work continues, and can be
///   finished in another way;
/// - the error of the connection, if it broke and the lock is not held any more when the request is repeated: either the
///   first request finished the work, or the lock had been taken away before. Read the row.
///
/// *Cancel safety:* Continues in the background when the future is dropped.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct FinishWork<'w> {
    work: &'w mut Work,
    change: Request,
}

impl<'w> FinishWork<'w> {
    pub(super) fn new(work: &'w mut Work) -> FinishWork<'w> {
        FinishWork { work, change: Request::default() }
    }

    /// Sets a column, as [`ConditionalUpdate::set`](crate::ConditionalUpdate::set) does.
    pub fn set(mut self, column: &str, value: impl IntoExpr) -> Self {
        self.change.set(column, value);
        self
    }

    async fn send(self) -> Result<UpdateOutcome, Error> {
        let FinishWork { work, change } = self;
        let changes = change.documents()?.changes;
        let held = work.guard.held.clone();
        // While the end is under way, a dropped guard is no reason for a warning.
        work.guard.on_drop = OnDrop::Nothing;
        let (_here, mut gone) = oneshot::channel::<()>();
        let outcome = finish(async move {
            let outcome = ask(&held, &changes).await;
            let ended = matches!(outcome, Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced));
            // The caller has dropped the future, and learns of the refusal by this warning only.
            if !ended && gone.try_recv() == Err(TryRecvError::Closed) {
                held.leave();
            }
            outcome
        })
        .await;
        match &outcome {
            Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced) => {
                work.guard.end();
                work.ended = true;
            }
            _ => work.guard.on_drop = OnDrop::Leave,
        }
        outcome
    }
}

async fn ask(held: &Held, changes: &RawValue) -> Result<UpdateOutcome, Error> {
    // The error of an earlier try that may have succeeded.
    let mut doubt = None;
    for pause in pauses() {
        held.check()?;
        let answer = match held.core().volguard.connection().await {
            Ok(connection) => connection.run("finish_work", sql::finish_work(&connection, held.token(), changes)).await,
            Err(error) if error.is_retryable() => {
                sleep(pause).await;
                continue;
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(UpdateOutcome::Fenced) => {
                held.note_gone();
                return doubt.map_or(Ok(UpdateOutcome::Fenced), Err);
            }
            Ok(outcome) => return Ok(outcome),
            Err(error) if error.leaves_doubt() => doubt = Some(error),
            Err(error) => return Err(held.note(error)),
        }
        tracing::debug!(token = held.token(), "finish_work is repeated");
        sleep(pause).await;
    }
    unreachable!("the pauses have no end")
}

impl<'w> IntoFuture for FinishWork<'w> {
    type Output = Result<UpdateOutcome, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
