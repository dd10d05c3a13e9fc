//! The end of work.

use super::Work;
use crate::lock::warn_of_unfinished;
use crate::update::{self, IntoExpr, change_methods};
use crate::{
    Error, Held, UpdateOutcome, awaitable::awaitable, reaper::OnDrop, retry::until_answered, session::finish, sql,
};
use std::sync::Arc;

/// A request to finish work. Made by [`Work::finish`]; `.await` it. A broken connection is replaced and the request
/// repeated, until the server has answered or the session is lost, also when the future is dropped.
///
/// [`UpdateOutcome::Updated`]: the work is finished. [`UpdateOutcome::Fenced`]: the lock is not held any more, and
/// nothing was written. [`UpdateOutcome::NotFound`]: the row is gone, the lock held: see [`Work::into_lock`].
/// *Errors:* If the server refuses the values: the work continues. The error of the connection, if it broke and the
/// lock is not held any more when the request is repeated: the first request finished the work, or the lock had been
/// taken away. Read the row.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct FinishWork<'w> {
    work: &'w mut Work,
    change: update::Request,
}

impl Work {
    /// Prepares to write the final state and free the lock, both or neither. If it is refused, the work continues.
    pub fn finish(&mut self) -> FinishWork<'_> {
        FinishWork { work: self, change: update::Request::default() }
    }

    /// Ends the work by a call that goes on when the future is dropped.
    pub(super) async fn end(
        &mut self,
        ending: impl Future<Output = Result<UpdateOutcome, Error>> + Send + 'static,
    ) -> Result<UpdateOutcome, Error> {
        let held = self.guard.held.clone();
        // While the end is under way, a dropped guard is no reason for a warning.
        self.guard.on_drop = OnDrop::Nothing;
        let here = Arc::new(());
        let gone = Arc::downgrade(&here);
        let outcome = finish(async move {
            let outcome = ending.await;
            let ended = matches!(outcome, Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced));
            // The caller has dropped the future, and learns of the refusal by this warning only.
            if !ended && gone.strong_count() == 0 {
                warn_of_unfinished(&held);
            }
            outcome
        })
        .await;
        drop(here);
        match &outcome {
            Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced) => {
                self.guard.end();
                self.slot = None;
            }
            _ => self.guard.on_drop = OnDrop::Leave,
        }
        outcome
    }
}

impl FinishWork<'_> {
    change_methods!(set "Set the status to the final one.");

    async fn send(self) -> Result<UpdateOutcome, Error> {
        let FinishWork { work, change } = self;
        let changes = change.documents()?.changes;
        let (held, target) = (work.guard.held.clone(), work.target.clone());
        let ending = async move {
            let call = || sql::finish_work(&held.core().volguard, held.token(), &changes, target.as_deref());
            ask(&held, "finish_work", call).await
        };
        work.end(ending).await
    }
}

awaitable!(FinishWork<'w> -> Result<UpdateOutcome, Error>);

/// Asks until there is an answer, or the lock is lost.
pub(super) async fn ask<F>(held: &Held, verb: &'static str, call: impl Fn() -> F) -> Result<UpdateOutcome, Error>
where
    F: Future<Output = Result<UpdateOutcome, Error>>,
{
    let call = &call;
    let checked = || async move {
        held.check()?;
        call().await
    };
    match until_answered(verb, None, checked).await {
        (Ok(UpdateOutcome::Fenced), doubt) => {
            held.note_gone();
            doubt.map_or(Ok(UpdateOutcome::Fenced), Err)
        }
        (Ok(outcome), _) => Ok(outcome),
        (Err(error), _) => Err(held.note(error)),
    }
}
