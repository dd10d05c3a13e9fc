//! Starting work.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::Work;
use crate::acquire::{self, Refused};
use crate::error::Error;
use crate::queue::Key;
use crate::session::Session;
use crate::update::{Filter, IntoCondition, IntoExpression, Request};

/// A request to start work: a lock on a tracked resource and a change of its row, both or neither, in one commit. Made
/// by [`Session::start_work`]; `.await` it, or call [`run`](StartWork::run).
///
/// The new status of the row becomes the status of the lock. If this process dies before it has
/// [finished](Work::finish) the work, cleanup repairs the row by the crash rule of that status.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct StartWork {
    session: Session,
    key: Key,
    change: Request,
    wait: Duration,
    request_id: Option<Uuid>,
}

/// The outcome of a [`StartWork`]. Only [`Started`](WorkOutcome::Started) has changed anything.
#[derive(Debug)]
#[must_use = "a refusal is an outcome, not an error"]
#[non_exhaustive]
pub enum WorkOutcome {
    /// The lock is held and the row changed.
    Started(Work),
    /// The row is not as expected. Lists all columns whose condition fails, then `filter` if the filter doesn't hold.
    Unmet(Vec<String>),
    /// The resource has no row, or none that the role may see.
    NotFound,
    /// The lock, the resource's work slot, or its row was not free in time.
    Locked,
}

impl WorkOutcome {
    /// The work, if it was started.
    pub fn started(self) -> Option<Work> {
        match self {
            WorkOutcome::Started(work) => Some(work),
            _ => None,
        }
    }
}

impl StartWork {
    pub(crate) fn new(session: Session, resource_type: &str, resource_id: &str) -> StartWork {
        StartWork {
            session,
            key: Key {
                resource_type: resource_type.to_owned(),
                resource_id: resource_id.to_owned(),
                lock_name: String::new(),
            },
            change: Request::default(),
            wait: Duration::ZERO,
            request_id: None,
        }
    }

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
    pub fn only_if(mut self, filter: impl Into<Filter>) -> Self {
        self.change.only_if(filter);
        self
    }

    /// Requires that a filter doesn't hold: [`only_if`](Self::only_if) of its [`not`](crate::not()).
    pub fn unless(self, filter: impl Into<Filter>) -> Self {
        self.only_if(!filter.into())
    }

    /// Sets a column, as [`ConditionalUpdate::set`](crate::ConditionalUpdate::set) does. The new row must have a status
    /// in its status column: set it to what is being done.
    pub fn set(mut self, column: &str, value: impl IntoExpression) -> Self {
        self.change.set(column, value);
        self
    }

    /// The name of the lock. Default: empty. Whatever the name, a resource has one piece of work at most.
    pub fn lock_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.key.lock_name);
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

    /// Takes the lock and changes the row, or returns why not.
    ///
    /// A broken connection is replaced and the request repeated under the same id, as for
    /// [`Acquire::run`](crate::Acquire::run).
    ///
    /// # Errors
    /// - those of [`Acquire::run`](crate::Acquire::run);
    /// - [`Error::InvalidDocument`] without asking the server, as for
    ///   [`ConditionalUpdate::execute`](crate::ConditionalUpdate::execute);
    /// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses: 42704 for a type that isn't tracked,
    ///   22023 if the new row has no status, and errors for documents that don't fit the table.
    ///
    /// After an error that leaves the outcome unknown, the session searches for work that was started all the same, and
    /// leaves it as a dropped [`Work`] is left.
    ///
    /// # Cancel safety
    /// When the future is dropped, the server is asked to end the wait. Work that was started all the same is left as a
    /// dropped [`Work`] is: a request with the same [`request_id`](Self::request_id) returns it.
    pub async fn run(self) -> Result<WorkOutcome, Error> {
        // The request is complete, with its id, before the first await.
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let documents = self.change.documents()?;
        let request = acquire::Request::work(id, Arc::new(self.key), documents);
        Ok(match acquire::ask(self.session, request, self.wait).await? {
            Ok(mut locks) => match locks.pop() {
                Some(lock) => WorkOutcome::Started(Work::new(lock)),
                None => WorkOutcome::Locked,
            },
            Err(Refused::NotFree) => WorkOutcome::Locked,
            Err(Refused::Unmet(names)) => WorkOutcome::Unmet(names),
            Err(Refused::NotFound) => WorkOutcome::NotFound,
        })
    }
}

impl IntoFuture for StartWork {
    type Output = Result<WorkOutcome, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The same as [`run`](StartWork::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
