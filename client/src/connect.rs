//! The handle that everything starts from, and how it comes by its connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Manager as _;
use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::{CancelToken, Config, NoTls};

use crate::error::Error;
use crate::session::Registration;
use crate::statements::{self, Params, Statement};
use crate::update::ConditionalUpdate;

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StatementMode {
    /// Named prepared statements, kept per connection: the fastest, for direct connections and session pooling.
    #[default]
    Prepared,
    /// Unnamed statements that leave nothing behind on the connection: for poolers in transaction mode that
    /// don't keep track of prepared statements, such as PgBouncer before 1.21.
    ///
    /// No cancel requests are sent either: tokio-postgres hangs up before a pooler has passed them on, and
    /// PgBouncer 1.18 may crash over them. So a wait that is called off goes on at the server until its end, with
    /// its connection; what it wins is released at once. The pooler needs room for all that wait and a heartbeat
    /// of each session besides, or sessions are lost to its queue.
    Unnamed,
}

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
///     // ... work on the volume, as long as `lock.is_lost()` says no ...
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

    /// Settings for a pool of its own.
    pub fn builder() -> ConnectBuilder {
        ConnectBuilder::default()
    }

    /// Takes connections from a pool that the caller has built, for example one that speaks TLS.
    ///
    /// The pool needs room for two connections at least: all but one may be occupied by acquires that wait.
    /// Every session opens one more connection through the pool's manager, outside of the pool, for its
    /// heartbeats. Set the pool's timeouts (`wait`, `create`), and TCP keepalives in its configuration: this
    /// constructor can't.
    pub fn from_pool(pool: Pool, mode: StatementMode) -> Volguard {
        let waiters = pool.status().max_size.saturating_sub(1).max(1);
        Volguard {
            inner: Arc::new(Inner {
                pool,
                mode,
                waiting: Arc::new(Semaphore::new(waiters)),
            }),
        }
    }

    /// The pool, for statements of the caller's own.
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

    /// Prepares to register one incarnation of a process: `host` and `binary_name` say which. Nothing happens
    /// before [`Registration::start`].
    ///
    /// Registering the same host and binary name in the same cluster again fences the earlier incarnation at
    /// once.
    pub fn register(&self, host: &str, binary_name: &str) -> Registration {
        Registration::new(self.clone(), host, binary_name)
    }

    /// Prepares a compare-and-swap on one row of `table`, a name as SQL takes it (`volumes`, `cinder.volumes`,
    /// `"Volumes"`). Nothing happens before [`ConditionalUpdate::execute`].
    pub fn update(&self, table: &str) -> ConditionalUpdate {
        ConditionalUpdate::new(self.clone(), table)
    }

    pub(crate) fn mode(&self) -> StatementMode {
        self.inner.mode
    }

    /// Seats for acquires that wait in the database: one connection fewer than the pool has, so that whoever
    /// holds a lock can always send its release.
    pub(crate) fn waiting(&self) -> &Arc<Semaphore> {
        &self.inner.waiting
    }

    pub(crate) async fn checkout(&self) -> Result<Object, Error> {
        Ok(self.inner.pool.get().await?)
    }

    /// Opens a connection beside the pool, which waiters therefore can't exhaust.
    pub(crate) async fn open_beside_pool(&self) -> Result<ClientWrapper, Error> {
        Ok(self.inner.pool.manager().create().await?)
    }

    pub(crate) async fn rows(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let client = self.checkout().await?;
        Ok(statement.rows(&client, self.mode(), params).await?)
    }

    pub(crate) async fn row(
        &self,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<tokio_postgres::Row, Error> {
        let client = self.checkout().await?;
        Ok(statement.row(&client, self.mode(), params).await?)
    }

    /// Whether cancel requests are sent.
    pub(crate) fn cancels(&self) -> bool {
        self.mode() != StatementMode::Unnamed
    }

    /// Asks the server to end what runs on this connection. Best effort; the connection is not to be used again,
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

    /// Like [`row`](Self::row), and gives up on a server that does not answer in time, and on the connection.
    pub(crate) async fn row_within(
        &self,
        limit: Duration,
        statement: &Statement,
        params: Params<'_>,
    ) -> Result<tokio_postgres::Row, Error> {
        let client = self.checkout().await?;
        match timeout(limit, statement.row(&client, self.mode(), params)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.cancel(&client.cancel_token()).await;
                drop(Object::take(client));
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

/// Settings of a [`Volguard`] with a pool of its own. Without TLS: bring a pool by [`Volguard::from_pool`] for
/// that.
///
/// ```no_run
/// # async fn run() -> Result<(), volguard::Error> {
/// use volguard::{StatementMode, Volguard};
///
/// let volguard = Volguard::builder()
///     .url("host=/var/run/postgresql dbname=cloud")
///     .pool_size(8)
///     .statement_mode(StatementMode::Unnamed)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct ConnectBuilder {
    url: Option<String>,
    config: Config,
    pool_size: usize,
    connection_timeout: Duration,
    mode: StatementMode,
}

impl Default for ConnectBuilder {
    fn default() -> ConnectBuilder {
        ConnectBuilder {
            url: None,
            config: Config::new(),
            pool_size: 16,
            connection_timeout: Duration::from_secs(30),
            mode: StatementMode::default(),
        }
    }
}

impl ConnectBuilder {
    /// Where the database is, as a libpq connection string. Replaces [`config`](Self::config).
    pub fn url(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self
    }

    /// Where the database is, as a ready-made configuration. Replaces [`url`](Self::url).
    pub fn config(mut self, config: Config) -> Self {
        self.url = None;
        self.config = config;
        self
    }

    /// How many connections the pool holds at most; 16 unless told, 2 at least. All but one may be occupied by
    /// acquires that wait. Each session has one more connection beside the pool, for its heartbeats.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// How long a call may wait for a connection: for a free one of the pool, and again to open a new one. 30
    /// seconds unless told.
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// How statements are sent; prepared unless told.
    pub fn statement_mode(mut self, mode: StatementMode) -> Self {
        self.mode = mode;
        self
    }

    /// Builds the pool, connects once, and checks that the extension is there.
    ///
    /// TCP keepalives and `TCP_USER_TIMEOUT` are set to notice a dead peer within half a minute, unless the
    /// configuration sets its own.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a connection string or pool size that can't be used, [`Error::Pool`] if the
    /// server can't be reached, [`Error::ExtensionMissing`] if the database lacks the extension.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Volguard, Error> {
        if self.pool_size < 2 {
            return Err(Error::Configuration(format!(
                "a pool of {} connections; two are needed, one of them to release while the other waits",
                self.pool_size
            )));
        }
        let manager = Manager::from_config(
            self.server()?,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(self.pool_size)
            .wait_timeout(Some(self.connection_timeout))
            .create_timeout(Some(self.connection_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| Error::Configuration(e.to_string()))?;
        let volguard = Volguard::from_pool(pool, self.mode);
        let version = volguard.extension_version().await?;
        tracing::debug!(%version, pool_size = self.pool_size, "connected");
        Ok(volguard)
    }

    /// The configuration, with what a half-open connection needs to be noticed.
    fn server(&self) -> Result<Config, Error> {
        let mut config = match &self.url {
            Some(url) => url
                .parse::<Config>()
                .map_err(|e| Error::Configuration(with_causes(&e)))?,
            None => self.config.clone(),
        };
        if config.get_application_name().is_none() {
            config.application_name("volguard");
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(15));
        }
        if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            config
                .keepalives_idle(Duration::from_secs(10))
                .keepalives_interval(Duration::from_secs(5))
                .keepalives_retries(3);
        }
        Ok(config)
    }
}

/// How long a cancel request may take, which opens a connection.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
