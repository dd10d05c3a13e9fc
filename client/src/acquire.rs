//! Asking for a lock: the request, and the line inside this process.

mod attempt;

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use self::attempt::Attempt;
use crate::error::Error;
use crate::interval::micros;
use crate::lock::Lock;
use crate::queue::{Key, Place};
use crate::session::{Core, Loss, Session};
use crate::statements;

/// A lock about to be asked for. Made by [`Session::acquire`]; `.await` it, or call [`run`](Acquire::run).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Acquire {
    session: Session,
    key: Key,
    status: Option<String>,
    wait: Duration,
    request_id: Option<Uuid>,
    details: Option<Value>,
}

impl Acquire {
    pub(crate) fn new(session: Session, resource_type: &str, resource_id: &str) -> Acquire {
        Acquire {
            session,
            key: Key {
                resource_type: resource_type.to_owned(),
                resource_id: resource_id.to_owned(),
                lock_name: String::new(),
            },
            status: None,
            wait: Duration::ZERO,
            request_id: None,
            details: None,
        }
    }

    /// Which lock of the resource, if it has several that don't exclude each other. Empty unless told.
    pub fn lock_name(mut self, name: &str) -> Self {
        self.key.lock_name = name.to_owned();
        self
    }

    /// What is being done under the lock. A lock with a status outlives its holder until the resource is
    /// cleaned up; there is one at most per resource.
    pub fn status(mut self, status: &str) -> Self {
        self.status = Some(status.to_owned());
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
        self.details = Some(details);
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
        let now = Instant::now();
        let deadline = now.checked_add(self.wait).unwrap_or(now + FOREVER);
        let request = Request {
            key: Arc::new(self.key),
            id: self.request_id.unwrap_or_else(Uuid::new_v4),
            status: self.status,
            details: self.details,
        };

        let core = self.session.core();
        core.lease.check().map_err(Error::SessionLost)?;
        let Some(place) = place(core, &request.key, deadline).await? else {
            return Ok(None);
        };
        let (reply, answer) = oneshot::channel();
        let attempt = Attempt::new(self.session, request, deadline, reply);
        tokio::spawn(attempt.run(place));
        // Without an answer the runtime is shutting down.
        answer
            .await
            .unwrap_or(Err(Error::SessionLost(Loss::Stopped)))
    }
}

/// The head of this process' line for the key, or nothing if it isn't reached in time.
async fn place(core: &Core, key: &Arc<Key>, deadline: Instant) -> Result<Option<Place>, Error> {
    if let Some(place) = core.lines.try_join(key) {
        return Ok(Some(place));
    }
    tokio::select! {
        biased;
        () = sleep_until(deadline) => Ok(None),
        loss = core.lease.lost() => Err(Error::SessionLost(loss)),
        place = core.lines.join(key) => Ok(Some(place)),
    }
}

/// One request for one lock, which keeps its id however often it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) key: Arc<Key>,
    pub(crate) id: Uuid,
    pub(crate) status: Option<String>,
    pub(crate) details: Option<Value>,
}

impl Request {
    pub(crate) async fn send(
        &self,
        core: &Core,
        client: &ClientWrapper,
        wait: Duration,
    ) -> Result<Option<i64>, tokio_postgres::Error> {
        let params: statements::Params<'_> = &[
            &core.service_id,
            &self.key.resource_type,
            &self.key.resource_id,
            &self.key.lock_name,
            &self.status,
            &micros(wait),
            &self.id,
            &self.details,
        ];
        statements::ACQUIRE
            .row(client, core.volguard.mode(), params)
            .await?
            .try_get(0)
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
