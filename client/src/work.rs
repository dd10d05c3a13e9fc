//! Work: a lock and the status of its resource, which change together.

mod finish;
mod pass;
mod serve;
mod stream;

pub use self::finish::FinishWork;
pub use self::pass::PassWork;
pub use self::serve::Serve;
pub use self::stream::WorkStream;
use crate::acquire::{Request, What};
use crate::lock::{Guard, dereferences, sets_status};
use crate::update::{self, Filter, IntoCondition, IntoExpr, change_methods};
use crate::{
    Error, Key, Lock, Session, UpdatedRow, WorkOutcome, awaitable::awaitable, reaper::OnDrop, sql::Documents,
    sql::TakenRow,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// Work under way: a lock, whose methods are those of [`Held`](crate::Held). Made by [`Session::start_work`], which
/// changes a row with it, or taken by [`Session::work`]. [`finish`](Work::finish) it with the row's final state, which
/// frees the lock.
///
/// A guard that is dropped before that logs a warning and leaves row and lock as they are: only the program knows how
/// far the work has come. When the session ends, in whatever way, the work counts as crashed, and cleanup repairs it by
/// its rule; but submitted work goes back into the queue if the session is [stopped](Session::stop). Before that, a
/// request with the same [`StartWork::request_id`] returns work that was started.
#[must_use = "work that is dropped stays unfinished"]
pub struct Work {
    guard: Guard,
    row: UpdatedRow,
    /// The table that the caller has named.
    target: Option<String>,
    /// As the server has handed it out, if it was submitted.
    taken: Option<TakenRow>,
    /// Of the stream that has taken it, until the work has ended.
    slot: Option<OwnedSemaphorePermit>,
}

dereferences!(Work);
sets_status!(Work);

impl Work {
    /// Work that is handed out from now on: if it is dropped, it is left.
    fn taken(mut guard: Guard, taken: TakenRow, slot: Option<OwnedSemaphorePermit>) -> Work {
        guard.on_drop = OnDrop::Leave;
        Work { guard, row: UpdatedRow::NONE, target: None, taken: Some(taken), slot }
    }

    /// The row as the start of the work left it. After a repeated request id, the row at that time, or `null` if it was
    /// gone. `null` for submitted work, whose row was changed earlier.
    pub fn row(&self) -> &UpdatedRow {
        &self.row
    }

    /// The number of the work, if it was submitted.
    pub fn work_id(&self) -> Option<i64> {
        self.taken.as_ref().map(|taken| taken.work_id)
    }

    /// What is to be done, as submitted; empty if nothing was said.
    pub fn operation(&self) -> &str {
        self.taken.as_ref().and_then(|taken| taken.operation.as_deref()).unwrap_or_default()
    }

    /// The status of submitted work when it was taken; empty for work that this session has started.
    pub fn status(&self) -> &str {
        self.taken.as_ref().map_or("", |taken| &taken.status)
    }

    /// 1 at first; one more each time that a service crashed in the middle of the work and its crash rule had it
    /// retried.
    pub fn attempt(&self) -> u32 {
        self.taken.as_ref().map_or(1, |taken| taken.attempt)
    }

    /// The service that crashed in the middle of the last attempt.
    pub fn crashed_service_id(&self) -> Option<i64> {
        self.taken.as_ref()?.crashed_service_id
    }

    /// The details that the work was submitted with, or [`Error::Deserialize`] if they don't fit the type.
    pub fn details<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.taken.as_ref().map_or(Ok(None), TakenRow::details)
    }

    /// The table that the resource must be in, for [`finish`](Self::finish) and [`pass`](Self::pass): as
    /// [`StartWork::target`].
    pub fn target(mut self, table: &str) -> Self {
        self.target = Some(table.to_owned());
        self
    }

    /// Puts submitted work back into the queue, for any service that may do it, as the same attempt. Bring the resource
    /// to where it can be begun again first. Returns `false` if it was not held any more. After an error, or when the
    /// future is dropped, the release is repeated in the background.
    ///
    /// Of work that this session has started only the lock is freed, as by [`into_lock`](Self::into_lock).
    pub async fn release(self) -> Result<bool, Error> {
        self.into_lock().release().await
    }

    /// The lock alone, released when it is dropped: if the row is gone, or its final state was written otherwise. The
    /// release of submitted work puts it back into the queue.
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
    /// another one; so is its [finish](Work::finish). Default: whichever table the type is tracked in. A superuser must
    /// name a table whose owner is none.
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
        let target = self.target.clone();
        let documents = Documents { target: self.target, ..self.change.documents()? };
        let request = Request { id, what: What::Work(self.key, documents) };
        let outcome = request.ask(self.session, self.wait).await?;
        Ok(outcome.map(|(guard, row)| Work { guard, row, target, taken: None, slot: None }))
    }
}

awaitable!(StartWork -> Result<WorkOutcome<Work>, Error>);
