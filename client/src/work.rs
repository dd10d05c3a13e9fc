//! Work: a lock and the status of its resource, which change together.

use crate::acquire::{Request, What};
use crate::lock::{Guard, dereferences, warn_of_unfinished};
use crate::update::{self, Filter, IntoCondition, IntoExpr, change_methods};
use crate::{
    Error, Held, Key, Lock, Session, UpdateOutcome, UpdatedRow, WorkOutcome, awaitable::awaitable, backoff::pauses,
    reaper::OnDrop, session::finish, sql, sql::Documents,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::sleep;
use uuid::Uuid;

/// Work under way: a lock, whose methods are those of [`Held`], and the row that was changed with it. Made by
/// [`Session::start_work`]. [`finish`](Work::finish) it with the row's final state, which frees the lock.
///
/// A guard that is dropped before that logs a warning and leaves row and lock as they are, because only the program
/// knows the final state of the row. When the session ends, in whatever way, the work counts as crashed, and cleanup
/// repairs it by its rule. Before that, a request with the same [`StartWork::request_id`] returns the work again.
#[must_use = "work that is dropped stays unfinished"]
pub struct Work {
    guard: Guard,
    row: UpdatedRow,
    /// The server has answered the end of it.
    ended: bool,
}

dereferences!(Work);

impl Work {
    /// The row as the start of the work left it. If an earlier request with the same id had started the work, it is the
    /// row at the time of the later request, or `null` if the row was gone.
    pub fn row(&self) -> &UpdatedRow {
        &self.row
    }

    /// Sets the status of the work: how far it is. Crash rules go by it, and expect the row's status to be the same.
    /// *Errors:* Those of [`Lock::set_status`].
    pub async fn set_status(&self, status: &str) -> Result<(), Error> {
        self.guard.held.set_status(Some(status)).await
    }

    /// Prepares to write the final state and free the lock, both or neither. If it is refused, the work continues.
    pub fn finish(&mut self) -> FinishWork<'_> {
        FinishWork { work: self, change: update::Request::default() }
    }

    /// The lock alone, released when it is dropped: if the row is gone, or its final state was written otherwise.
    pub fn into_lock(mut self) -> Lock {
        if !self.ended {
            self.guard.on_drop = OnDrop::Release;
        }
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
    /// A broken connection is replaced and the request repeated under the same id, as for
    /// [`acquire`](Session::acquire). After an error that leaves the outcome unknown, or when the future is dropped,
    /// work that was started all the same is left as a dropped [`Work`] is.
    /// *Errors:* When it is awaited, those of [`acquire`](Session::acquire) and
    /// [`ConditionalUpdate`](crate::ConditionalUpdate); [`Error::Database`] with 42704 for a type not tracked, 22023
    /// for a row without status.
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

    /// Identifies this request. Default: a random id. A second request with the id of one whose answer was lost, or
    /// whose [`Work`] was dropped, returns the work that the first one started, if it did.
    pub fn request_id(self, id: Uuid) -> Self {
        Self { request_id: Some(id), ..self }
    }

    async fn send(self) -> Result<WorkOutcome<Work>, Error> {
        // The request is complete, with its id, before the first await.
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let documents = Documents { target: self.target, ..self.change.documents()? };
        let request = Request { id, what: What::Work(self.key, documents) };
        let outcome = request.ask(self.session, self.wait).await?;
        Ok(outcome.map(|(guard, row)| Work { guard, row, ended: false }))
    }
}

awaitable!(StartWork -> Result<WorkOutcome<Work>, Error>);

/// A request to finish work. Made by [`Work::finish`]; `.await` it. A broken connection is replaced and the request
/// repeated, until the server has answered or the session is lost, also when the future is dropped.
///
/// [`UpdateOutcome::Updated`]: the work is finished. [`UpdateOutcome::Fenced`]: the lock is not held any more, and
/// nothing was written. [`UpdateOutcome::NotFound`]: the row is gone, the lock held: see [`Work::into_lock`].
/// *Errors:* [`Error::InvalidDocument`]; [`Error::MalformedDocument`], [`Error::Database`] if the server refuses the
/// values: the work continues. The error of the connection, if it broke and the lock is not held any more when the
/// request is repeated: the first request finished the work, or the lock had been taken away. Read the row.
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
        let (_here, mut gone) = oneshot::channel::<()>();
        let outcome = finish(async move {
            let outcome = ask_to_finish(&held, &changes).await;
            let ended = matches!(outcome, Ok(UpdateOutcome::Updated(_) | UpdateOutcome::Fenced));
            // The caller has dropped the future, and learns of the refusal by this warning only.
            if !ended && gone.try_recv() == Err(TryRecvError::Closed) {
                warn_of_unfinished(&held);
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

awaitable!(FinishWork<'w> -> Result<UpdateOutcome, Error>);

async fn ask_to_finish(held: &Held, changes: &RawValue) -> Result<UpdateOutcome, Error> {
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
