//! Building a handle.

use super::wire::{Connector, Manager, Pool, Server};
use super::{Volguard, environment};
use crate::backoff::FOREVER;
use crate::{Error, sql};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

/// Of one address, where neither the builder nor the connection string says it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatementMode {
    /// Named prepared statements, kept per connection: the fastest, for direct connections and session pooling.
    #[default]
    Prepared,
    /// Unnamed statements that leave nothing behind on the connection: for poolers in transaction mode that don't keep
    /// track of prepared statements, such as PgBouncer before 1.21.
    ///
    /// No cancel requests are sent, because PgBouncer 1.18 may crash over them. So a wait that is given up continues on
    /// the server until its end, with its connection; a lock that it gets is released at once. The pooler needs room
    /// for all waiting acquires and a heartbeat of each session: otherwise sessions are lost.
    Unnamed,
}

/// Settings of a [`Volguard`]: `Volguard::builder().url("host=db-1,db-2").pool_size(8).connect().await?`.
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
    #[serde(deserialize_with = "some_seconds")]
    connect_timeout: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    time_limit: Duration,
    statement_mode: StatementMode,
}

impl Default for Builder {
    fn default() -> Builder {
        let (url, config, tls, max_waiters, connect_timeout, statement_mode) = Default::default();
        let time_limit = Duration::from_secs(30);
        Builder { url, config, tls, pool_size: 16, max_waiters, connect_timeout, time_limit, statement_mode }
    }
}

impl Builder {
    /// Where the database is, as a libpq connection string, either `postgresql://…` or `host=… user=…`. What it lacks
    /// comes from the variables `PGHOST`, `PGPORT` and so on. Default: all from there, and `/var/run/postgresql`
    /// without `PGHOST`.
    pub fn url(self, url: &str) -> Self {
        Builder { url: Some(url.to_owned()), config: None, ..self }
    }

    /// Where the database is, as a ready-made configuration, in place of [`url`](Self::url).
    pub fn config(self, config: Config) -> Self {
        Builder { config: Some(config), ..self }
    }

    /// The TLS implementation, such as `postgres_native_tls::MakeTlsConnector`, for the pool, heartbeats and cancel
    /// requests. Default: none. Whether TLS is used is up to `sslmode` in the connection string: `prefer` by default,
    /// `require`, or `disable`.
    pub fn tls<T>(self, connector: T) -> Self
    where
        T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: TlsConnect<Socket, Future: Send> + Send>,
        T: Clone + Send + Sync + 'static,
    {
        Builder { tls: Some(Arc::new(connector)), ..self }
    }

    /// How many connections the pool holds at most. Default: 16, at least 2. Each session has one more for its
    /// heartbeats.
    pub fn pool_size(self, connections: usize) -> Self {
        Builder { pool_size: connections, ..self }
    }

    /// How many connections may be occupied by acquires and [streams of work](crate::WorkStream) that wait in the
    /// database. Default: half of the pool. Others ask every few seconds whether their lock is free, or work is there.
    pub fn max_waiters(self, connections: usize) -> Self {
        Builder { max_waiters: Some(connections), ..self }
    }

    /// How long one address of a server may take to accept a connection, log in, and say whether it takes writes,
    /// before the next one is tried. Default: the `connect_timeout` of the connection string, of the configuration or of
    /// the variable `PGCONNECT_TIMEOUT`, in whole seconds; without one, or where it is zero, 3 seconds.
    pub fn connect_timeout(self, time: Duration) -> Self {
        Builder { connect_timeout: Some(time), ..self }
    }

    /// How long a call may take: to get a connection, and again until the server answers. Default: 30 seconds. The time
    /// that an acquire is told to wait comes on top. A statement that takes longer is cancelled.
    pub fn time_limit(self, time: Duration) -> Self {
        Builder { time_limit: time, ..self }
    }

    /// How statements are sent. Default: prepared.
    pub fn statement_mode(self, mode: StatementMode) -> Self {
        Builder { statement_mode: mode, ..self }
    }

    /// Builds the handle, connects once, and checks the version of the extension.
    /// *Errors:* also those of [`lazy`](Self::lazy), [`Error::ExtensionMissing`], [`Error::ExtensionVersion`].
    pub async fn connect(self) -> Result<Volguard, Error> {
        let volguard = self.lazy()?;
        let installed = sql::extension_version(&volguard).await?;
        // Before 1.0 each minor version may change the interface.
        if installed.split('.').take(2).eq(env!("CARGO_PKG_VERSION").split('.').take(2)) {
            return Ok(volguard);
        }
        Err(Error::ExtensionVersion { installed })
    }

    /// Builds the handle without connecting: the first call connects. The version of the extension is not checked. TCP
    /// keepalives and `TCP_USER_TIMEOUT` are set so that a dead peer is noticed within half a minute, unless the
    /// configuration sets its own.
    /// *Errors:* [`Error::Configuration`].
    pub fn lazy(self) -> Result<Volguard, Error> {
        let config = self.server()?;
        let Builder { tls, pool_size, connect_timeout, time_limit, statement_mode: mode, .. } = self;
        let connect_timeout = connect_timeout.or(config.get_connect_timeout().copied()).unwrap_or(CONNECT_TIMEOUT);
        let refuse = |problem: String| Err(Error::Configuration(problem));
        let max_waiters = self.max_waiters.unwrap_or(pool_size / 2);
        if pool_size < 2 {
            let reason = "two are needed, one of them to release while the other waits";
            return refuse(format!("a pool of {pool_size} connections; {reason}"));
        } else if max_waiters == 0 || max_waiters >= pool_size {
            return refuse(format!("{max_waiters} waiters in a pool of {pool_size}: at least one, and less"));
        } else if connect_timeout.is_zero() || time_limit.is_zero() {
            return refuse("a time limit of zero".to_owned());
        } else if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            // Most likely a part of the password, which no message may show.
            return refuse("a host name has an `@` in it; in a user name or password, write `%40`".to_owned());
        } else if config.get_ssl_mode() == SslMode::Require && tls.is_none() {
            return refuse("`sslmode` requires TLS: pass a connector to `Builder::tls`".to_owned());
        }
        let tls = tls.unwrap_or_else(|| Arc::new(NoTls));
        let (connect_timeout, time_limit) = (connect_timeout.min(FOREVER), time_limit.min(FOREVER));
        let server = Arc::new(Server { config, tls, mode, connect_timeout, time_limit });
        let manager = Manager { server: Arc::clone(&server), limit: time_limit - time_limit / 10 };
        let pool = Pool::builder(manager).max_size(pool_size).build();
        let pool = pool.map_err(|error| Error::Configuration(error.to_string()))?;
        Ok(Volguard { pool, server, waiters: Arc::new(Semaphore::new(max_waiters)) })
    }

    /// The configuration, with the timeouts that detect a half-open connection.
    fn server(&self) -> Result<Config, Error> {
        let mut config = match (&self.config, &self.url) {
            (Some(config), _) => config.clone(),
            (None, Some(url)) => {
                let config = url.parse().map_err(|error| unusable(url, &Error::from(error)))?;
                environment::complete(config, environment::variable)?
            }
            (None, None) => environment::config(environment::variable)?,
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

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the connection string, which may have a password in it.
        f.debug_struct("Builder").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_string_says_how_long_connecting_may_take() {
        let builder = Builder::default().url("host=h connect_timeout=20");
        let of = |builder: Builder| builder.lazy().unwrap().server.connect_timeout;
        assert_eq!(of(builder.clone()), Duration::from_secs(20));
        assert_eq!(of(builder.connect_timeout(Duration::from_millis(1500))), Duration::from_millis(1500));
        let mut config = Config::new();
        assert_eq!(of(Builder::default().config(config.clone())), CONNECT_TIMEOUT);
        config.connect_timeout(Duration::from_secs(20));
        assert_eq!(of(Builder::default().config(config)), Duration::from_secs(20));
    }
}
