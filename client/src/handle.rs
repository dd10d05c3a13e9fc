//! The handle on a database: a pool, and how statements are sent through it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Manager as _;
use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::{CancelToken, NoTls, Row};

use crate::connect::{ConnectBuilder, StatementMode};
use crate::error::Error;
use crate::janitor::Clusters;
use crate::session::Registration;
use crate::statements::{self, Params, Statement};
use crate::update::{ConditionalUpdate, Repeated};

/// How long a cancel request may take. It opens a connection of its own.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// A handle on a database that has the extension: a pool of connections, cheap to clone.
///
/// ```no_run
/// # async fn run() -> Result<(), volguard::Error> {
/// use std::time::Duration;
/// use volguard::Volguard;
///
/// let volguard = Volguard::connect("postgresql://manager@localhost/cloud").await?;
/// let session = volguard.register("node-1", "volume-manager").start().await?;
/// if let Some(lock) = session.acquire("volume", "v-17").wait(Duration::from_secs(5)).await? {
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
    mode: StatementMode,
    waiting: Arc<Semaphore>,
    repeated: Repeated,
    janitors: Clusters,
}

impl Volguard {
    /// Connects with the default settings: see [`builder`](Self::builder).
    ///
    /// `url` is a libpq connection string, either `postgresql://…` or `host=… user=…`.
    ///
    /// # Errors
    /// Those of [`ConnectBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Volguard, Error> {
        Volguard::builder().url(url).connect().await
    }

    /// Begins to build a handle with a pool of its own.
    pub fn builder() -> ConnectBuilder {
        ConnectBuilder::default()
    }

    /// Uses a pool that the caller has built, for example one with TLS.
    ///
    /// The pool needs room for at least two connections: acquires that wait may occupy all but one. Every session opens
    /// one more connection for its heartbeats, through the pool's manager but outside of the pool. Set the pool's
    /// timeouts (`wait`, `create`) and TCP keepalives in its configuration: this constructor can't.
    pub fn from_pool(pool: Pool, mode: StatementMode) -> Volguard {
        let waiters = pool.status().max_size.saturating_sub(1).max(1);
        Volguard {
            inner: Arc::new(Inner {
                pool,
                mode,
                waiting: Arc::new(Semaphore::new(waiters)),
                repeated: Repeated::new(),
                janitors: Clusters::default(),
            }),
        }
    }

    /// The pool, for the caller's own statements.
    pub fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// The version of the extension in this database.
    ///
    /// # Errors
    /// [`Error::ExtensionMissing`] if there is none, [`Error::Pool`], [`Error::Database`].
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn extension_version(&self) -> Result<String, Error> {
        let rows = self.rows(&statements::EXTENSION_VERSION, &[]).await?;
        match rows.first() {
            Some(row) => Ok(row.try_get(0)?),
            None => Err(Error::ExtensionMissing),
        }
    }

    /// Prepares to register one incarnation of a process, which `host` and `binary_name` identify. Nothing happens
    /// before [`Registration::start`].
    ///
    /// Registering the same host and binary name in the same cluster again fences the earlier incarnation at
    /// once.
    pub fn register(&self, host: &str, binary_name: &str) -> Registration {
        Registration::new(self.clone(), host, binary_name)
    }

    /// Prepares a compare-and-swap on one row of `table`, a name as in SQL (`volumes`, `cinder.volumes`, `"Volumes"`).
    /// Nothing happens before [`ConditionalUpdate::execute`].
    pub fn update(&self, table: &str) -> ConditionalUpdate {
        ConditionalUpdate::new(self.clone(), table)
    }

    pub(crate) fn mode(&self) -> StatementMode {
        self.inner.mode
    }

    /// The conditions of recent updates.
    pub(crate) fn repeated(&self) -> &Repeated {
        &self.inner.repeated
    }

    /// The clusters that the janitors of this handle's sessions clean.
    pub(crate) fn janitors(&self) -> &Clusters {
        &self.inner.janitors
    }

    /// Permits for acquires that wait in the database: one fewer than the pool has connections, so that a release can
    /// always be sent.
    pub(crate) fn waiting(&self) -> &Arc<Semaphore> {
        &self.inner.waiting
    }

    pub(crate) async fn checkout(&self) -> Result<Object, Error> {
        Ok(self.inner.pool.get().await?)
    }

    /// Opens a connection beside the pool, so that waiting acquires can't block it.
    pub(crate) async fn open_beside_pool(&self) -> Result<ClientWrapper, Error> {
        Ok(self.inner.pool.manager().create().await?)
    }

    pub(crate) async fn rows(&self, statement: &Statement<'_>, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let client = self.checkout().await?;
        Ok(statement.rows(&client, self.mode(), params).await?)
    }

    pub(crate) async fn row(&self, statement: &Statement<'_>, params: Params<'_>) -> Result<Row, Error> {
        let client = self.checkout().await?;
        Ok(statement.row(&client, self.mode(), params).await?)
    }

    /// Whether cancel requests are sent.
    pub(crate) fn cancels(&self) -> bool {
        self.mode() != StatementMode::Unnamed
    }

    /// Asks the server to cancel what runs on this connection. Best effort. The connection must not be used again,
    /// because the request may arrive late and hit the next statement.
    pub(crate) async fn cancel(&self, statement: &CancelToken) {
        if !self.cancels() {
            return;
        }
        match timeout(CANCEL_LIMIT, statement.cancel_query(NoTls)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the cancel request could not be sent"),
            Err(_) => tracing::debug!("the cancel request took too long"),
        }
    }

    /// Like [`row`](Self::row), with a time limit. After it the statement is cancelled and the connection closed.
    pub(crate) async fn row_within(
        &self,
        limit: Duration,
        statement: &Statement<'_>,
        params: Params<'_>,
    ) -> Result<Row, Error> {
        let client = self.checkout().await?;
        let answer = timeout(limit, statement.row(&client, self.mode(), params)).await;
        self.give_up_or(client, answer).await
    }

    /// Like [`rows`](Self::rows), with the limit of [`row_within`](Self::row_within).
    pub(crate) async fn rows_within(
        &self,
        limit: Duration,
        statement: &Statement<'_>,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Error> {
        let client = self.checkout().await?;
        let answer = timeout(limit, statement.rows(&client, self.mode(), params)).await;
        self.give_up_or(client, answer).await
    }

    async fn give_up(&self, client: Object) {
        self.cancel(&client.cancel_token()).await;
        drop(Object::take(client));
    }

    async fn give_up_or<T>(
        &self,
        client: Object,
        answer: Result<Result<T, tokio_postgres::Error>, Elapsed>,
    ) -> Result<T, Error> {
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.give_up(client).await;
                Err(Error::NoReply)
            }
        }
    }
}

impl fmt::Debug for Volguard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volguard")
            .field("pool", &self.inner.pool.status())
            .field("mode", &self.inner.mode)
            .finish_non_exhaustive()
    }
}
