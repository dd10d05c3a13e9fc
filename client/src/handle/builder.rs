//! Building a handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use super::wire::{Connector, Manager, Pool, Server};
use super::{Inner, Volguard, environment};
use crate::error::Error;
use crate::sql;
use crate::statement_mode::StatementMode;

/// Used for a longer time, which the clock may not be able to count.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Settings of a [`Volguard`].
///
/// ```no_run
/// # async fn run() -> Result<(), volguard::Error> {
/// use std::time::Duration;
/// use volguard::Volguard;
///
/// let volguard = Volguard::builder()
///     .url("host=db-1,db-2 dbname=cloud target_session_attrs=read-write")
///     .pool_size(8)
///     .time_limit(Duration::from_secs(10))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// It can be read from a file: it deserializes from `url`, `pool_size`, `max_waiters`, `connect_timeout` and
/// `time_limit` in seconds, and `statement_mode` (`prepared`, `unnamed`), each of which may be missing.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "nothing happens before `connect`"]
pub struct Builder {
    url: Option<String>,
    #[serde(skip)]
    config: Option<Config>,
    #[serde(skip)]
    tls: Option<Arc<dyn Connector>>,
    pool_size: usize,
    max_waiters: Option<usize>,
    #[serde(deserialize_with = "seconds")]
    connect_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    time_limit: Duration,
    statement_mode: StatementMode,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            url: None,
            config: None,
            tls: None,
            pool_size: 16,
            max_waiters: None,
            connect_timeout: Duration::from_secs(3),
            time_limit: Duration::from_secs(30),
            statement_mode: StatementMode::default(),
        }
    }
}

impl Builder {
    /// Where the database is, as a libpq connection string. What it lacks of host, port, user, password and database
    /// comes from the variables `PGHOST`, `PGPORT` and so on. Default: all from there, and `/var/run/postgresql` without
    /// `PGHOST`.
    pub fn url(mut self, url: &str) -> Self {
        self.url = Some(url.to_owned());
        self.config = None;
        self
    }

    /// Where the database is, as a ready-made configuration, in place of [`url`](Self::url). Of its settings only
    /// `connect_timeout` is not used.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// The TLS implementation, such as `postgres_native_tls::MakeTlsConnector` or `tokio_postgres_rustls`. It serves all
    /// connections: those of the pool, of heartbeats and of cancel requests. Default: none. Whether TLS is used is up to
    /// `sslmode` in the connection string: `prefer` by default, `require`, or `disable`.
    pub fn tls<T>(mut self, connector: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.tls = Some(Arc::new(connector));
        self
    }

    /// How many connections the pool holds at most. Default: 16, at least 2. Each session has one more connection beside
    /// the pool, for its heartbeats.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// How many of the connections may be occupied by acquires that wait in the database. Default: half of the pool.
    /// Others wait in the process for their turn, and ask every few seconds whether their lock is free.
    pub fn max_waiters(mut self, connections: usize) -> Self {
        self.max_waiters = Some(connections);
        self
    }

    /// How long one address of a server may take to accept a connection, log in, and say whether it takes writes.
    /// Default: 3 seconds. After that the next address is tried.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// How long a call may take: to get a connection, and again until the server answers. Default: 30 seconds. The time
    /// that an acquire is told to wait comes on top. A statement that takes longer is cancelled.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time_limit = time;
        self
    }

    /// How statements are sent. Default: prepared.
    pub fn statement_mode(mut self, mode: StatementMode) -> Self {
        self.statement_mode = mode;
        self
    }

    /// Builds the handle, connects once, and checks the version of the extension.
    /// *Errors:* [`Error::Configuration`] as for [`lazy`](Self::lazy), [`Error::Connect`], [`Error::ExtensionMissing`],
    /// [`Error::ExtensionVersion`].
    /// *Cancel safety:* Dropping the future closes what was opened.
    pub async fn connect(self) -> Result<Volguard, Error> {
        let volguard = self.lazy()?;
        let connection = volguard.connection().await?;
        let installed = connection.run("extension_version", sql::extension_version(&connection)).await?;
        drop(connection);
        if !fits(&installed) {
            return Err(Error::ExtensionVersion { installed });
        }
        Ok(volguard)
    }

    /// Builds the handle without connecting: the first call connects. The version of the extension is not checked.
    ///
    /// TCP keepalives and `TCP_USER_TIMEOUT` are set so that a dead peer is noticed within half a minute, unless the
    /// configuration sets its own.
    /// *Errors:* [`Error::Configuration`] for a connection string, pool size, number of waiters or time that can't be
    /// used, or TLS that is required without a [connector](Self::tls).
    pub fn lazy(self) -> Result<Volguard, Error> {
        let refuse = |problem: String| Err(Error::Configuration(problem));
        let config = self.server()?;
        if self.pool_size < 2 {
            return refuse(format!(
                "a pool of {} connections; two are needed, one of them to release while the other waits",
                self.pool_size
            ));
        }
        let max_waiters = self.max_waiters.unwrap_or(self.pool_size / 2);
        if max_waiters == 0 || max_waiters >= self.pool_size {
            return refuse(format!("{max_waiters} waiters in a pool of {}: at least one, and less", self.pool_size));
        }
        if self.connect_timeout.is_zero() || self.time_limit.is_zero() {
            return refuse("a time limit of zero".to_owned());
        }
        // Most likely a part of the password, which no message may show.
        let with_at = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if config.get_hosts().iter().any(with_at) {
            return refuse("a host name has an `@` in it; in a user name or password, write `%40`".to_owned());
        }
        if config.get_ssl_mode() == SslMode::Require && self.tls.is_none() {
            return refuse("`sslmode` requires TLS: pass a connector to `Builder::tls`".to_owned());
        }
        let tls = self.tls.unwrap_or_else(|| Arc::new(NoTls));
        let (mode, connect_timeout) = (self.statement_mode, self.connect_timeout.min(FOREVER));
        let time_limit = self.time_limit.min(FOREVER);
        let server = Arc::new(Server { config, tls, mode, connect_timeout });
        let pool = Pool::builder(Manager { server: Arc::clone(&server), limit: time_limit - time_limit / 10 })
            .max_size(self.pool_size)
            .build();
        let pool = pool.map_err(|error| Error::Configuration(error.to_string()))?;
        let waiters = Arc::new(Semaphore::new(max_waiters));
        Ok(Volguard { inner: Arc::new(Inner { pool, server, waiters, time_limit }) })
    }

    /// The configuration, with the timeouts that detect a half-open connection.
    fn server(&self) -> Result<Config, Error> {
        let variable = |name: &str| std::env::var(name).ok();
        let mut config = match (&self.config, &self.url) {
            (Some(config), _) => config.clone(),
            (None, Some(url)) => {
                let mut config: Config = url.parse().map_err(|e| unusable(url, &Error::from(e)))?;
                environment::complete(&mut config, variable)?;
                config
            }
            (None, None) => environment::config(variable)?,
        };
        if config.get_application_name().is_none() {
            config.application_name("volguard");
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(15));
        }
        if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            let interval = Duration::from_secs(5);
            config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(interval).keepalives_retries(3);
        }
        Ok(config)
    }
}

/// What is wrong with a connection string, without any part of a password that was not quoted or escaped.
fn unusable(url: &str, error: &Error) -> Error {
    let told = error.to_string();
    Error::Configuration(match told.split_once("unknown option") {
        Some((before, _)) if url.contains("password") => format!("{before}unknown option (is the password quoted?)"),
        _ => told,
    })
}

/// Before 1.0 each minor version may change the interface.
fn fits(installed: &str) -> bool {
    let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    minor(installed) == minor(env!("CARGO_PKG_VERSION"))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the connection string, which may have a password in it.
        f.debug_struct("Builder")
            .field("pool_size", &self.pool_size)
            .field("connect_timeout", &self.connect_timeout)
            .field("time_limit", &self.time_limit)
            .field("statement_mode", &self.statement_mode)
            .finish_non_exhaustive()
    }
}
