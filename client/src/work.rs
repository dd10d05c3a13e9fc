//! Work: a lock and the status of its resource, which change together.

use crate::acquire::{Request, What};
use crate::lock::{Guard, dereferences, sets_status, warn_of_unfinished};
use crate::update::{self, Filter, IntoCondition, IntoExpr, change_methods};
use crate::{
    Error, Held, Key, Lock, Session, UpdateOutcome, UpdatedRow, WorkOutcome, awaitable::awaitable, backoff::pauses,
    reaper::OnDrop, session::finish, sql, sql::Documents,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use uuid::Uuid;

/// Work under way: a lock, whose methods are those of [`Held`], and the row that was changed with it. Made by
/// [`Session::start_work`]. [`finish`](Work::finish) it with the row's final state, which frees the lock.
///
/// A guard that is dropped before that logs a warning and leaves row and lock as they are. When the session ends, in
/// whatever way, the work counts as crashed, and cleanup repairs it by its rule. Before that, a request with the same
/// [`StartWork::request_id`] returns the work again.
#[must_use = "work that is dropped stays unfinished"]
pub struct Work {
    guard: Guard,
    row: UpdatedRow,
}

dereferences!(Work);
sets_status!(Work);

impl Work {
    /// The row as the start of the work left it. After a repeated request id, the row at that time, or `null` if it was
    /// gone.
    pub fn row(&self) -> &UpdatedRow {
        &self.row
    }

    /// Prepares to write the final state and free the lock, both or neither. If it is refused, the work continues.
    pub fn finish(&mut self) -> FinishWork<'_> {
        FinishWork { work: self, change: update::Request::default() }
    }

    /// The lock alone, released when it is dropped: if the row is gone, or its final state was written otherwise.
    pub fn into_lock(mut self) -> Lock {
        self.guard.on_drop = OnDrop::Release;
        Lock { guard: self.guard }
    }
}

/// A request to start work. Made by [`Session::start_work`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct StartWork {
    session: Session,
    key: Key,
    change: update::Request,
    target: Option<String>,
    wait: Duration,
    request_id: Option<Uuid>,
}

impl Session {
    /// Prepares to start work on a tracked resource: to take its lock and change its row, both or neither, in one
    /// commit. The new status of the row becomes the status of the lock. If this process dies before it has
    /// [finished](Work::finish) the work, cleanup repairs the row by the crash rule of that status.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// let start = session.start_work("volume", "v-17").expect("status", "available").set("status", "extending");
    /// if let Some(mut work) = start.await?.started() {
    ///     // ... extend the volume, with `work.token()` as its fence ...
    ///     assert!(work.finish().set("status", "available").await?.is_updated());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// The request is repeated as [`acquire`](Session::acquire) is. After an error that leaves the outcome unknown, or
    /// when the future is dropped, work that was started all the same is left as a dropped [`Work`] is.
    /// *Errors:* Those of [`acquire`](Session::acquire) and [`ConditionalUpdate`](crate::ConditionalUpdate);
    /// [`Error::Database`] with 42704 for a type not tracked, 22023 for a row without status.
    pub fn start_work(&self, resource_type: &str, resource_id: &str) -> StartWork {
        let (key, change) = (Key::new(resource_type, resource_id), update::Request::default());
        StartWork { session: self.clone(), key, change, target: None, wait: Duration::ZERO, request_id: None }
    }
}

impl StartWork {
    change_methods!(conditions);
    change_methods!(set "The new row must have a status in its status column: set it to what is being done.");

    /// The table that the resource must be in, a name as in SQL. The start is refused (22023) if the type is tracked in
    /// another one. Default: whichever table the type is tracked in.
    pub fn target(self, table: &str) -> Self {
        Self { target: Some(table.to_owned()), ..self }
    }

    /// The name of the lock. Default: empty. Whatever the name, a resource has one piece of work at most.
    pub fn lock_name(mut self, name: &str) -> Self {
        self.key = self.key.lock_name(name);
        self
    }

    /// How long to wait for the lock, the work slot and the row, as in [`Acquire::wait`](crate::Acquire::wait).
    /// Conditions are checked after it.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Identifies this request: a second one with the id of one whose answer was lost, or whose [`Work`] was dropped,
    /// returns the work that the first one started, if it did.
    pub fn request_id(self, id: Uuid) -> Self {
        Self { request_id: Some(id), ..self }
    }

    async fn send(self) -> Result<WorkOutcome<Work>, Error> {
        // The request is complete, with its id, before the first await.
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let documents = Documents { target: self.target, ..self.change.documents()? };
        let request = Request { id, what: What::Work(self.key, documents) };
        let outcome = request.ask(self.session, self.wait).await?;
        Ok(outcome.map(|(guard, row)| Work { guard, row }))
    }
}

awaitable!(StartWork -> Result<WorkOutcome<Work>, Error>);

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

impl FinishWork<'_> {
    change_methods!(set "Set the status to the final one.");

    async fn send(self) -> Result<UpdateOutcome, Error> {
        let FinishWork { work, change } = self;
        let changes = change.documents()?.changes;
        let held = work.guard.held.clone();
        // While the end is under way, a dropped guard is no reason for a warning.
        work.guard.on_drop = OnDrop::Nothing;
        let here = Arc::new(());
        let gone = Arc::downgrade(&here);
        let outcome = finish(async move {
            let outcome = ask_to_finish(&held, &changes).await;
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
            Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced) => work.guard.end(),
            _ => work.guard.on_drop = OnDrop::Leave,
        }
        outcome
    }
}

awaitable!(FinishWork<'w> -> Result<UpdateOutcome, Error>);

async fn ask_to_finish(held: &Held, changes: &RawValue) -> Result<UpdateOutcome, Error> {
    // The error of an earlier try that may have succeeded.
    let mut doubt = None;
    for pause in pauses() {
        held.check()?;
        match sql::finish_work(&held.core().volguard, held.token(), changes).await {
            Ok(UpdateOutcome::Fenced) => {
                held.note_gone();
                return doubt.map_or(Ok(UpdateOutcome::Fenced), Err);
            }
            Ok(outcome) => return Ok(outcome),
            Err(error) if error.leaves_doubt() => doubt = Some(error),
            Err(error @ (Error::Connect { .. } | Error::PoolExhausted)) if error.is_retryable() => {}
            Err(error) => return Err(held.note(error)),
        }
        tracing::debug!(token = held.token(), "finish_work is repeated");
        sleep(pause).await;
    }
    unreachable!("the pauses have no end")
}
