//! Acquiring one lock or several at once, and the queue inside this process.

mod all;
mod attempt;
mod request;

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

pub use self::all::AcquireAll;
use self::attempt::Attempt;
pub use self::request::Wanted;
pub(crate) use self::request::{Granted, Refused, Reply, Request};
use crate::error::Error;
use crate::lock::Lock;
use crate::queue::{Key, Places};
use crate::session::{Core, Loss, Session};

/// A request for a lock. Made by [`Session::acquire`]; `.await` it, or call [`run`](Acquire::run).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Acquire {
    session: Session,
    wanted: Wanted,
    wait: Duration,
    request_id: Option<Uuid>,
}

impl Acquire {
    pub(crate) fn new(session: Session, resource_type: &str, resource_id: &str) -> Acquire {
        Acquire { session, wanted: Wanted::new(resource_type, resource_id), wait: Duration::ZERO, request_id: None }
    }

    /// The name of the lock, for a resource with several locks that don't exclude each other. Default: empty.
    pub fn lock_name(mut self, name: &str) -> Self {
        self.wanted = self.wanted.lock_name(name);
        self
    }

    /// What is being done under the lock. A lock with a status outlives its holder until the resource is cleaned up. A
    /// resource has one such lock at most.
    pub fn status(mut self, status: &str) -> Self {
        self.wanted = self.wanted.status(status);
        self
    }

    /// How long to wait for the lock, including the time in the queue inside this process. Default: not at all.
    ///
    /// It includes neither the time for a free connection of the pool, which has a limit of its own, nor the time that
    /// a slow server takes to answer. A request that waits in the database occupies one connection of the pool.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Identifies this request. Default: a random id. A second request with the id of one whose answer was lost returns
    /// the lock that the first one got, if it got it.
    pub fn request_id(mut self, id: Uuid) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Details for people to read, shown with the lock in the view `lock_status`.
    pub fn details(mut self, details: Value) -> Self {
        self.wanted = self.wanted.details(details);
        self
    }

    /// Takes the lock, or returns `None` if it was not free in time.
    ///
    /// Within one session, a key that is held, or being released in the background, is not free, whatever the request
    /// id. A broken connection is replaced and the request repeated under the same id, for as long as `wait` lasts and
    /// once at least.
    ///
    /// # Errors
    /// - [`Error::SessionLost`] without asking the server, or when the session is lost while waiting;
    /// - [`Error::ServiceFenced`], [`Error::LeaseExpired`]: the server refuses this service;
    /// - [`Error::Pool`] if the pool gives no connection; nothing is held;
    /// - [`Error::Database`] if the server refuses (22023 for an empty or over-long name, 42501 for a role that
    ///   did not register the service), or if the connection broke and could not be replaced in time;
    /// - [`Error::NoReply`] if there was no answer long after the wait was over.
    ///
    /// After an error no lock stays behind: if the server holds a lock for the request after all, the session finds and
    /// releases it in the background, unless the same request id is used again before.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no lock behind. The server is asked to end the wait at once (except with
    /// [`StatementMode::Unnamed`](crate::StatementMode::Unnamed)). A lock that was granted all the same is released in
    /// the background. The place in the queue is lost.
    pub async fn run(self) -> Result<Option<Lock>, Error> {
        // The request is complete, with its id, before the first await.
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let request = Request::one(id, self.wanted);
        let locks = ask(self.session, request, self.wait).await?;
        Ok(locks.ok().and_then(|mut locks| locks.pop()))
    }
}

/// Sends the request, and returns what it gets.
pub(crate) async fn ask(
    session: Session,
    request: Request,
    wait: Duration,
) -> Result<Result<Vec<Lock>, Refused>, Error> {
    let now = Instant::now();
    let deadline = now.checked_add(wait).unwrap_or(now + FOREVER);
    let core = session.core();
    core.lease.check().map_err(Error::SessionLost)?;
    let Some(places) = places(core, &request.keys(), deadline).await? else {
        return Ok(Err(Refused::NotFree));
    };
    let (reply, answer) = oneshot::channel();
    let attempt = Attempt::new(session, request, deadline, reply);
    tokio::spawn(attempt.run(places));
    // Without an answer the runtime is shutting down.
    answer.await.unwrap_or(Err(Error::SessionLost(Loss::Stopped)))
}

/// The head of the queue inside this process for each key, or `None` if not all are reached in time.
async fn places(core: &Core, keys: &[Arc<Key>], deadline: Instant) -> Result<Option<Places>, Error> {
    if let Some(places) = core.lines.try_join_all(keys) {
        return Ok(Some(places));
    }
    tokio::select! {
        biased;
        () = sleep_until(deadline) => Ok(None),
        loss = core.lease.lost() => Err(Error::SessionLost(loss)),
        places = core.lines.join_all(keys) => Ok(Some(places)),
    }
}

/// Used for a wait longer than the clock can count.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl IntoFuture for Acquire {
    type Output = Result<Option<Lock>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The same as [`run`](Acquire::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
