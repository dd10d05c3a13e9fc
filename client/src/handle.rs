//! The handle on a database: a pool of connections, and who may wait on them.

mod builder;
mod connection;
mod environment;
mod hosts;
mod wire;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::builder::{Builder, StatementMode};
pub use self::connection::Connection;
pub(crate) use self::wire::Wire;
use self::wire::{Pool, PoolError, Server};
use crate::sql::{self, CleanedService, Cleanup};
use crate::{Error, telemetry};

/// What a rule has failed on is tried again after this time. A cleanup that takes longer ends with a round that did
/// nothing.
const RETRIED: Duration = Duration::from_secs(600);

/// A handle on a database that has the extension: a pool of connections, cheap to clone.
#[derive(Clone)]
pub struct Volguard {
    pool: Pool,
    pub(crate) server: Arc<Server>,
    /// Permits for calls that wait in the database.
    pub(crate) waiters: Arc<Semaphore>,
}

impl Volguard {
    /// Connects with the settings of a [`Builder`] that has only this URL; see [`Builder::url`] and
    /// [`Builder::connect`].
    pub async fn connect(url: &str) -> Result<Volguard, Error> {
        Volguard::builder().url(url).connect().await
    }

    /// Begins to build a handle.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A connection of the pool, for the caller's own statements and transactions, and for [`sql`].
    ///
    /// When it is dropped, it goes back to the pool, with its settings, temporary tables and session locks reset. If a
    /// statement of the caller still runs a second later, or a transaction is open, it is cancelled and closed.
    /// *Errors:* [`Error::PoolExhausted`], [`Error::Connect`].
    pub async fn connection(&self) -> Result<Connection, Error> {
        match timeout(self.server.time_limit, self.pool.get()).await {
            Ok(Ok(wire)) => Ok(Connection { pooled: Some(wire) }),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(Error::PoolExhausted),
        }
    }

    /// Cleans up after dead services: fences them for good, frees their plain locks, and applies crash rules to their
    /// work, in as many rounds as it takes, each in its own transaction. The counts of a service are sums; `state` and
    /// `awaiting` are those of its last round. Sessions do it periodically
    /// ([`Registration::janitor`](crate::Registration::janitor)).
    /// *Errors:* [`Error::Database`] with 55000 if [`Cleanup::service_id`] names a service that lives.
    pub async fn cleanup(&self, which: &Cleanup) -> Result<Vec<CleanedService>, Error> {
        let patience = Instant::now() + RETRIED;
        let mut cleaned = BTreeMap::<i64, CleanedService>::new();
        loop {
            let round = sql::cleanup(self, which).await?;
            let mut is_done = !round.more;
            let done = |service: &CleanedService| {
                service.locks_released + service.resources_cleaned + service.resources_stale > 0
            };
            is_done |= Instant::now() > patience && !round.services.iter().any(done);
            for service in round.services {
                match cleaned.entry(service.service_id) {
                    Entry::Vacant(entry) => {
                        entry.insert(service);
                    }
                    Entry::Occupied(entry) => entry.into_mut().add(service),
                }
            }
            if is_done {
                return Ok(cleaned.into_values().collect());
            }
        }
    }

    /// Opens a connection beside the pool, so that what waits in the pool can't hold it up. All servers of the
    /// configuration are tried in this time.
    pub(crate) async fn open(&self, limit: Duration) -> Result<Wire, Error> {
        telemetry::observed("connect", self.server.connect(limit)).await
    }

    /// Closes the idle connections of the pool.
    pub(crate) fn drop_idle(&self) {
        self.pool.retain(|_, _| false);
    }
}

impl fmt::Debug for Volguard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volguard").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}
