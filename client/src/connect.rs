//! Building a handle and its pool.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

use crate::error::Error;
use crate::handle::Volguard;

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
    /// No cancel requests are sent either: tokio-postgres hangs up before a pooler has passed them on, and PgBouncer
    /// 1.18 may crash over them. So a cancelled wait continues on the server until its end, with its connection; a lock
    /// that it gets is released at once. The pooler needs room for all waiting acquires and a heartbeat of each
    /// session. Otherwise heartbeats wait in the pooler's queue, and sessions are lost.
    Unnamed,
}

/// Settings of a [`Volguard`] with a pool of its own, without TLS. For TLS, pass a pool to [`Volguard::from_pool`].
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

    /// How many connections the pool holds at most. Default: 16, at least 2. Acquires that wait may occupy all but one.
    /// Each session has one more connection beside the pool, for its heartbeats.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// How long a call may wait for a connection: for a free one of the pool, and again to open a new one. Default: 30
    /// seconds.
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// How statements are sent. Default: prepared.
    pub fn statement_mode(mut self, mode: StatementMode) -> Self {
        self.mode = mode;
        self
    }

    /// Builds the pool, connects once, and checks that the extension is there.
    ///
    /// TCP keepalives and `TCP_USER_TIMEOUT` are set so that a dead peer is noticed within half a minute, unless the
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
        let manager =
            Manager::from_config(self.server()?, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
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

    /// The configuration, with the timeouts that detect a half-open connection.
    fn server(&self) -> Result<Config, Error> {
        let mut config = match &self.url {
            Some(url) => url.parse::<Config>().map_err(|e| Error::Configuration(with_causes(&e)))?,
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

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
