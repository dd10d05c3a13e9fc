//! Acquiring several locks at once.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use uuid::Uuid;

use super::{Request, Wanted, ask};
use crate::error::Error;
use crate::lock_set::LockSet;
use crate::session::Session;

/// A request for several locks, all or none. Made by [`Session::acquire_all`]; `.await` it, or call
/// [`run`](AcquireAll::run).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct AcquireAll {
    session: Session,
    wanted: Vec<Wanted>,
    wait: Duration,
    request_id: Option<Uuid>,
}

impl AcquireAll {
    pub(crate) fn new(session: Session, wanted: Vec<Wanted>) -> AcquireAll {
        AcquireAll { session, wanted, wait: Duration::ZERO, request_id: None }
    }

    /// How long to wait until all of them are free. Default: not at all. See [`Acquire::wait`](crate::Acquire::wait).
    ///
    /// While it waits for one of them it holds none and blocks no other process. Other requests of this session for one
    /// of them wait behind it.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Identifies this request. Default: a random id. See [`Acquire::request_id`](crate::Acquire::request_id).
    pub fn request_id(mut self, id: Uuid) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Takes all the locks in one commit. Returns `None`, and holds none, if not all of them were free in time.
    ///
    /// Requests for the same locks never wait for each other in a circle, in whatever order they name them. A broken
    /// connection is replaced as for [`Acquire::run`](crate::Acquire::run).
    ///
    /// # Errors
    /// Those of [`Acquire::run`](crate::Acquire::run), and [`Error::MalformedDocument`] for an invalid list: an empty
    /// one, a lock named twice, an empty or over-long name, two statuses for one resource, more locks than the server's
    /// lock table allows. 22023 means that the request id has got a part of these locks before.
    ///
    /// # Cancel safety
    /// Dropping the future leaves no lock behind, as for [`Acquire::run`](crate::Acquire::run).
    pub async fn run(self) -> Result<Option<LockSet>, Error> {
        let id = self.request_id.unwrap_or_else(Uuid::new_v4);
        let request = Request::all(id, self.wanted);
        let locks = ask(self.session.clone(), request, self.wait).await?;
        Ok(locks.ok().map(|locks| LockSet::new(self.session, locks)))
    }
}

impl IntoFuture for AcquireAll {
    type Output = Result<Option<LockSet>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// The same as [`run`](AcquireAll::run).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
