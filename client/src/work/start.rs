//! Starting work.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::Work;
use crate::acquire::{self, Refused, Request, What};
use crate::error::Error;
use crate::granted::WorkOutcome;
use crate::key::Key;
use crate::reaper::OnDrop;
use crate::session::Session;
use crate::update::{self, Filter, IntoCondition, IntoExpr};

/// A request to start work: a lock on a tracked resource and a change of its row, both or neither, in one commit. Made by
/// [`Session::start_work`]; `.await` it.
///
/// The new status of the row becomes the status of the lock. If this process dies before it has
/// [finished](Work::finish) the work, cleanup repairs the row by the crash rule of that status.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct StartWork {
    session: Session,
    key: Key,
    change: update::Request,
    wait: Duration,
    request_id: Option<Uuid>,
}

impl Session {
    /// Prepares to start work on a tracked resource: to take its lock and change its row, both or neither. Nothing happens
    /// before the result is awaited.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// use volguard::WorkOutcome;
    /// use volguard::update::column;
    ///
    /// let start = session.start_work("volume", "v-17").expect("status", "available").set("status", "extending");
    /// if let WorkOutcome::Started(mut work) = start.await? {
    ///     // ... extend the volume, with `work.token()` as its fence ...
    ///     let end = work.finish().set("status", "available").set("size", column("size") + 1);
    ///     assert!(end.await?.is_updated());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A broken connection is replaced and the request repeated under the same id, as for
    /// [`acquire`](Session::acquire).
    ///
    /// # Errors
    /// Of the result, when it is awaited: those of [`acquire`](Session::acquire), and
    /// - [`Error::InvalidDocument`] without asking the server, as for [`Volguard::update`](crate::Volguard::update);
    /// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses: 42704 for a type that isn't tracked, 22023
    ///   if the new row has no status, and errors for documents that don't fit the table.
    ///
    /// After an error that leaves the outcome unknown, work that was started all the same is left as a dropped [`Work`] is.
    /// *Cancel safety:* When the future is dropped, the server is asked to end the wait. Work that was started all the
    /// same is left as a dropped [`Work`] is: a request with the same [`request_id`](StartWork::request_id) returns it.
    pub fn start_work(&self, resource_type: &str, resource_id: &str) -> StartWork {
        StartWork {
            session: self.clone(),
            key: Key::new(resource_type, resource_id),
            change: update::Request::default(),
            wait: Duration::ZERO,
            request_id: None,
        }
    }
}

impl StartWork {
    /// Adds a condition on a column, as [`ConditionalUpdate::expect`](crate::ConditionalUpdate::expect) does.
    pub fn expect(mut self, column: &str, condition: impl IntoCondition) -> Self {
        self.change.expect(column, condition);
        self
    }

    /// Requires that the columns of `row` are still what they were when it was read, as
    /// [`ConditionalUpdate::expect_unchanged`](crate::ConditionalUpdate::expect_unchanged) does.
    pub fn expect_unchanged(mut self, row: impl Serialize) -> Self {
        self.change.expect_unchanged(row);
        self
    }

    /// Requires that a filter holds, as [`ConditionalUpdate::only_if`](crate::ConditionalUpdate::only_if) does.
    pub fn only_if(mut self, filter: Filter) -> Self {
        self.change.only_if(filter);
        self
    }

    /// Requires that a filter doesn't hold: [`only_if`](Self::only_if) of its negation.
    pub fn unless(self, filter: Filter) -> Self {
        self.only_if(!filter)
    }

    /// Sets a column, as [`ConditionalUpdate::set`](crate::ConditionalUpdate::set) does. The new row must have a status
    /// in its status column: set it to what is being done.
    pub fn set(mut self, column: &str, value: impl IntoExpr) -> Self {
        self.change.set(column, value);
        self
    }

    /// The name of the lock. Default: empty. Whatever the name, a resource has one piece of work at most.
    pub fn lock_name(mut self, name: &str) -> Self {
        self.key = self.key.lock_name(name);
        self
    }

    /// How long to wait for the lock, the work slot and the row. Default: not at all. See
    /// [`Acquire::wait`](crate::Acquire::wait). The conditions are checked on the row after the wait.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Identifies this request. Default: a random id. A second request with the id of one whose answer was lost, or
    /// whose [`Work`] was dropped, returns the work that the first one started, if it did.
    pub fn request_id(mut self, id: Uuid) -> Self {
        self.request_id = Some(id);
        self
    }

    async fn send(self) -> Result<WorkOutcome<Work>, Error> {
        // The request is complete, with its id, before the first await.
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let request = Request { id, what: What::Work(self.key, self.change.documents()?) };
        Ok(match acquire::ask(self.session, request, self.wait, OnDrop::Leave).await? {
            Ok((guard, row)) => WorkOutcome::Started(Work { guard, row, ended: false }),
            Err(Refused::NotFree) => WorkOutcome::Locked,
            Err(Refused::Unmet(names)) => WorkOutcome::Unmet(names),
            Err(Refused::NotFound) => WorkOutcome::NotFound,
        })
    }
}

impl IntoFuture for StartWork {
    type Output = Result<WorkOutcome<Work>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
