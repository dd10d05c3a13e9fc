//! Asking for a lock, or for several at once, and the line inside this process.

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

/// A lock about to be asked for. Made by [`Session::acquire`]; `.await` it, or call [`run`](Acquire::run).
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

    /// Which lock of the resource, if it has several that don't exclude each other. Empty unless told.
    pub fn lock_name(mut self, name: &str) -> Self {
        self.wanted = self.wanted.lock_name(name);
        self
    }

    /// What is being done under the lock. A lock with a status outlives its holder until the resource is
    /// cleaned up; there is one at most per resource.
    pub fn status(mut self, status: &str) -> Self {
        self.wanted = self.wanted.status(status);
        self
    }

    /// How long to wait for the lock to become free, the line inside this process included; not at all unless
    /// told.
    ///
    /// It doesn't count the time for a free connection of the pool, which has a limit of its own, nor that of a
    /// server that is slow to answer. One connection of the pool is occupied while waiting in the database.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Identifies this request; a random one unless told. Asking again with the id of a request whose answer
    /// was lost yields the lock that the request got, if it did.
    pub fn request_id(mut self, id: Uuid) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Whatever people should see beside the lock in the view `lock_status`.
    pub fn details(mut self, details: Value) -> Self {
        self.wanted = self.wanted.details(details);
        self
    }

    /// Takes the lock, or says `None` if it was not free in time.
    ///
    /// Within one session a key that is held, or being released in the background, is not free, whatever the
    /// request id. A connection that breaks is replaced and the request repeated under the same id, for as long
    /// as `wait` lasts and once at least.
    ///
    /// # Errors
    /// - [`Error::SessionLost`] without asking the server, or when the session is lost while waiting;
    /// - [`Error::ServiceFenced`], [`Error::LeaseExpired`]: the server's verdict on this service;
    /// - [`Error::Pool`] if no connection could be had; nothing is held;
    /// - [`Error::Database`] if the server refuses (22023 for an empty or over-long name, 42501 for a role that
    ///   did not register the service), or if the connection broke and could not be replaced in time;
    /// - [`Error::NoReply`] if the server said nothing long after the wait was over.
    ///
    /// After an error nothing stays behind: should the server hold a lock for the request after all, the
    /// session finds and releases it in the background, unless the same request id is asked for again before.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no lock behind. The server is asked to end the wait at once (but see
    /// [`StatementMode::Unnamed`](crate::StatementMode::Unnamed)), and a lock that was won all the same is released
    /// in the background. The place in the line is lost.
    pub async fn run(self) -> Result<Option<Lock>, Error> {
        // All that identifies the request is settled before the first await.
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let request = Request::one(id, self.wanted);
        let locks = ask(self.session, request, self.wait).await?;
        Ok(locks.ok().and_then(|mut locks| locks.pop()))
    }
}

/// What the request gets.
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

/// The head of this process' line for each key, or nothing if not all are reached in time.
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

/// Stands for a wait that the clock can't count.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl IntoFuture for Acquire {
    type Output = Result<Option<Lock>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The same as [`run`](Acquire::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
