//! The handle on a database: a pool of connections, and who may wait on them.

mod builder;
mod connection;
mod dedicated;
mod environment;
mod hosts;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::builder::Builder;
pub use self::connection::Connection;
pub(crate) use self::dedicated::Dedicated;
pub(crate) use self::wire::Wire;
use self::wire::{Pool, Server};
use crate::error::Error;
use crate::sql;
use crate::sql::{CleanedService, Cleanup};
use crate::telemetry;

/// A handle on a database that has the extension: a pool of connections, cheap to clone.
///
/// ```no_run
/// # async fn run() -> Result<(), volguard::Error> {
/// use std::time::Duration;
/// use volguard::Volguard;
///
/// let volguard = Volguard::connect("postgresql://manager@localhost/cloud").await?;
/// let session = volguard.register("node-1", "volume-manager").await?;
/// if let Some(lock) = session.acquire(("volume", "v-17")).wait(Duration::from_secs(5)).await? {
///     // ... work on the volume, while `lock.is_lost()` is false ...
///     lock.release().await?;
/// }
/// session.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Volguard {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    server: Arc<Server>,
    /// Permits for acquires that wait in the database.
    waiters: Arc<Semaphore>,
    time_limit: Duration,
}

impl Volguard {
    /// Connects with the default settings: see [`builder`](Self::builder).
    ///
    /// `url` is a libpq connection string, either `postgresql://…` or `host=… user=…`.
    /// *Errors:* Those of [`Builder::connect`].
    pub async fn connect(url: &str) -> Result<Volguard, Error> {
        Volguard::builder().url(url).connect().await
    }

    /// Begins to build a handle.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A connection of the pool, for the caller's own statements and transactions, and for [`sql`]. It goes back to the
    /// pool when it is dropped.
    ///
    /// # Errors
    /// [`Error::PoolExhausted`], [`Error::Connect`].
    ///
    /// # Cancel safety
    /// Nothing is taken from the pool when the future is dropped. The connection itself goes back to the pool once the
    /// server has answered all that was sent on it, with its settings, temporary tables and session locks reset. If a
    /// statement of the caller still runs a second later, it is cancelled and the connection closed; so is one with an
    /// open transaction, which is rolled back.
    pub async fn connection(&self) -> Result<Connection, Error> {
        match timeout(self.inner.time_limit, self.inner.pool.get()).await {
            Ok(Ok(wire)) => Ok(Connection::new(wire, self.clone())),
            Ok(Err(wire::PoolError::Backend(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(Error::PoolExhausted),
        }
    }

    /// Cleans up after dead services: fences them for good, frees their plain locks, and applies crash rules to their
    /// work. Once; a [`Janitor`](crate::Janitor) does it periodically.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
    /// for service in volguard.cleanup(&volguard::Cleanup::default()).await? {
    ///     println!("{}: {} resources repaired", service.host, service.resources_cleaned);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    /// *Errors:* [`Error::Database`] with 55000 if [`Cleanup::service_id`] names a service that lives;
    /// [`Error::Connect`], [`Error::PoolExhausted`], [`Error::NoReply`].
    /// *Cancel safety:* When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn cleanup(&self, which: &Cleanup) -> Result<Vec<CleanedService>, Error> {
        let connection = self.connection().await?;
        connection.run("cleanup", sql::cleanup(&connection, which)).await
    }

    /// The limit of a call, without the time that it was told to wait.
    pub(crate) fn time_limit(&self) -> Duration {
        self.inner.time_limit
    }

    pub(crate) fn waiters(&self) -> &Arc<Semaphore> {
        &self.inner.waiters
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.inner.server
    }

    /// Opens a connection beside the pool, so that what waits in the pool can't hold it up. All servers of the
    /// configuration are tried in this time.
    pub(crate) async fn open(&self, limit: Duration) -> Result<Dedicated, Error> {
        let wire = telemetry::observed("connect", self.inner.server.connect(limit)).await?;
        Ok(Dedicated::new(wire, Arc::clone(&self.inner.server)))
    }

    /// Closes the idle connections of the pool.
    pub(crate) fn drop_idle(&self) {
        self.inner.pool.retain(|_, _| false);
    }
}

impl fmt::Debug for Volguard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volguard").field("pool", &self.inner.pool.status()).finish_non_exhaustive()
    }
}
