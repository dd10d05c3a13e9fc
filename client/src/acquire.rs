//! Acquiring one lock, or several at once.

mod request;

pub(crate) use self::request::{Request, What};
use crate::{Error, Held, IntoKeys, Key, Lock, Session, awaitable::awaitable};
use std::time::Duration;
use uuid::Uuid;

/// A request for locks. Made by [`Session::acquire`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Acquire {
    session: Session,
    keys: Vec<Key>,
    wait: Duration,
    request_id: Option<Uuid>,
}

impl Session {
    /// Prepares to take a lock, or several in one commit, all or none.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// use volguard::Key;
    ///
    /// let copy = [Key::new("volume", "v-17").status("copying"), Key::new("volume", "v-18").status("creating")];
    /// if let Some(both) = session.acquire(copy).wait(std::time::Duration::from_secs(5)).await? {
    ///     println!("fencing tokens {:?}", both.tokens());
    ///     both.release().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// The result is `None`, and holds nothing, if not all were free in time. While it waits for one of several it
    /// holds none, and requests for the same locks never wait for each other in a circle. Within one session, a key
    /// that is held, or being released in the background, is not free, whatever the request id; and while a request for
    /// several waits in the database, others of the session for one of them wait behind it. A broken connection is
    /// replaced and the request repeated under the same id, for as long as `wait` lasts and once at least.
    ///
    /// After an error, or when the future is dropped, no lock stays behind: what the server has granted all the same is
    /// released in the background, unless the same request id is used again before.
    ///
    /// # Errors
    /// When it is awaited:
    /// - [`Error::ServiceFenced`], [`Error::LeaseExpired`]: the server refuses this service;
    /// - [`Error::Database`] with 22023 for an empty or over-long name, or a request id that has got a part of these
    ///   locks before; with 42501 for a role that did not register the service;
    /// - [`Error::MalformedDocument`] for no key, a key named twice, two statuses for one resource, or more locks than
    ///   the server's lock table allows; [`Error::InvalidDocument`] for details that are no JSON.
    pub fn acquire(&self, keys: impl IntoKeys) -> Acquire {
        Acquire { session: self.clone(), keys: keys.into_keys(), wait: Duration::ZERO, request_id: None }
    }

    /// Takes a lock, or several, [runs](Held::run) `work` under it, and releases it. `None` if it was not free.
    /// *Errors:* Those of [`acquire`](Self::acquire), and [`Error::SessionLost`] if the lock is lost before `work` is
    /// done: `work` is dropped then, as it is with the future. A release that fails is repeated in the background.
    pub async fn with_lock<F: Future>(
        &self,
        keys: impl IntoKeys,
        wait: Duration,
        work: impl FnOnce(Held) -> F,
    ) -> Result<Option<F::Output>, Error> {
        let Some(lock) = self.acquire(keys).wait(wait).await? else { return Ok(None) };
        let done = lock.run(work(Held::clone(&lock))).await?;
        if let Err(error) = lock.release().await {
            tracing::debug!(%error, "the release is repeated in the background");
        }
        Ok(Some(done))
    }
}

impl Acquire {
    /// How long to wait for the locks, including the time in the queue inside this process, but not for a connection of
    /// the pool or a slow server. Default: not at all. A waiting request occupies one connection. It asks the server
    /// anew every ten minutes, the default of `volguard.max_wait`.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Identifies this request: a second one with the id of one whose answer was lost gets what the first one got.
    pub fn request_id(self, id: Uuid) -> Self {
        Self { request_id: Some(id), ..self }
    }

    async fn send(self) -> Result<Option<Lock>, Error> {
        // The request is complete, with its id, before the first await.
        let request = Request { id: self.request_id.unwrap_or_else(Uuid::new_v4), what: What::Locks(self.keys) };
        // Only work is refused for other reasons than that a lock is not free.
        let outcome = request.ask(self.session, self.wait).await?;
        Ok(outcome.started().map(|(guard, _)| Lock { guard }))
    }
}

awaitable!(Acquire -> Result<Option<Lock>, Error>);
