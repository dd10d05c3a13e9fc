//! One connection to the server, and the pool of such.

use std::collections::HashMap;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, Config, Row, SimpleQueryMessage, Socket};

use super::hosts;
use crate::error::Error;
use crate::sql::{Executor, Params, Statement, sealed};
use crate::statement_mode::StatementMode;

pub(super) type Pool = managed::Pool<Manager>;
pub(super) type PoolError = managed::PoolError<Error>;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// Pause between two requests to cancel a statement that still runs.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);

/// An open connection. Dropping it closes the socket at once, whatever runs on the server.
pub(crate) struct Wire {
    client: Client,
    task: JoinHandle<()>,
    mode: StatementMode,
    prepared: Mutex<HashMap<&'static str, tokio_postgres::Statement>>,
    /// How many statements are under way, or were given up.
    busy: AtomicUsize,
    /// The caller had it, and may have left a statement running, a transaction open, or settings.
    pub(super) lent: AtomicBool,
}

impl Wire {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Makes it as new for its next user, after a caller had it. Fails if it is not idle in time, because a statement or
    /// a transaction was left open.
    pub(super) async fn cleaned(&self, limit: Duration) -> bool {
        // A transaction began earlier than the statement, unless the statement is all of it.
        const IS_IDLE: &str = "SELECT pg_catalog.now() OPERATOR(pg_catalog.=) pg_catalog.statement_timestamp()";
        // What DISCARD ALL does, but for prepared statements.
        const RESET: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; \
                             DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all()";
        let cleaning = async {
            let is_idle = self.client.simple_query(IS_IDLE).await?;
            let is_idle = is_idle.iter().any(|m| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")));
            if is_idle {
                self.client.batch_execute(RESET).await?;
            }
            Ok::<bool, tokio_postgres::Error>(is_idle)
        };
        matches!(timeout(limit, cleaning).await, Ok(Ok(true)))
    }

    async fn prepared(
        &self,
        statement: &'static Statement,
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        let cache = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache().get(statement.sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = self.client.prepare_typed(statement.sql, statement.types).await?;
        cache().insert(statement.sql, prepared.clone());
        Ok(prepared)
    }

    async fn send(&self, statement: &'static Statement, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self.mode {
            StatementMode::Prepared => {
                let answer = self.client.query(&self.prepared(statement).await?, params).await;
                // It is prepared again by the next call, which may be a repetition in the background.
                if answer.as_ref().is_err_and(|error| error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)) {
                    self.prepared.lock().unwrap_or_else(PoisonError::into_inner).remove(statement.sql);
                }
                answer
            }
            StatementMode::Unnamed => self.client.query_typed(statement.sql, &statement.typed(params)).await,
        }
    }
}

impl sealed::Sealed for Wire {}

impl Executor for Wire {
    async fn rows(&self, statement: &'static Statement, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let answer = self.send(statement, params).await;
        self.busy.fetch_sub(1, Ordering::Relaxed);
        answer
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Where connections lead, and how they are made.
pub(crate) struct Server {
    pub(super) config: Config,
    pub(super) tls: Arc<dyn Connector>,
    pub(super) mode: StatementMode,
    /// For one address.
    pub(super) connect_timeout: Duration,
}

impl Server {
    /// Connects to the first server that answers, all within the limit.
    pub(super) async fn connect(&self, limit: Duration) -> Result<Wire, Error> {
        let servers = u32::try_from(hosts::count(&self.config).max(1)).unwrap_or(u32::MAX);
        let (client, task) = hosts::connect(&self.config, &*self.tls, self.connect_timeout, limit / servers).await?;
        let (busy, lent) = (AtomicUsize::new(0), AtomicBool::new(false));
        Ok(Wire { client, task, mode: self.mode, prepared: Mutex::default(), busy, lent })
    }

    /// Whether cancel requests are sent.
    pub(crate) fn cancels(&self) -> bool {
        self.mode != StatementMode::Unnamed
    }

    /// Ends the statement that runs on a connection, and closes the connection. Returns whether the statement is certainly
    /// over.
    pub(crate) async fn give_up(&self, wire: Wire, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let statement = wire.client.cancel_token();
        // The server answers in order: when it answers this, the statement is over.
        let mut over = pin!(wire.client.simple_query(""));
        loop {
            // A request that overtakes the statement finds nothing to cancel, so it is repeated.
            if self.cancels() {
                self.cancel(statement.clone()).await;
            }
            match timeout(CANCEL_AGAIN, &mut over).await {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) => return error.as_db_error().is_some(),
                Err(_) if Instant::now() >= deadline => return false,
                Err(_) => {}
            }
        }
    }

    async fn cancel(&self, statement: CancelToken) {
        match timeout(self.connect_timeout, self.tls.cancel(statement)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the cancel request could not be sent"),
            Err(_) => tracing::debug!("the cancel request took too long"),
        }
    }
}

/// Makes the connections of the pool.
pub(super) struct Manager {
    pub(super) server: Arc<Server>,
    /// For all servers of the configuration: less than a call has, which could not tell what was wrong otherwise.
    pub(super) limit: Duration,
}

impl managed::Manager for Manager {
    type Type = Wire;
    type Error = Error;

    async fn create(&self) -> Result<Wire, Error> {
        self.server.connect(self.limit).await
    }

    async fn recycle(&self, wire: &mut Wire, _: &Metrics) -> RecycleResult<Error> {
        let idle = !wire.lent.swap(false, Ordering::Relaxed) || wire.cleaned(self.server.connect_timeout).await;
        match idle && !wire.is_closed() {
            true => Ok(()),
            false => Err(RecycleError::message("closed, or left with a statement running or a transaction open")),
        }
    }
}

/// Connects and cancels with TLS, or without.
pub(crate) trait Connector: Send + Sync {
    fn connect(&self, config: Config) -> Boxed<'_, (Client, JoinHandle<()>)>;
    fn cancel(&self, statement: CancelToken) -> Boxed<'_, ()>;
}

impl<T> Connector for T
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect(&self, config: Config) -> Boxed<'_, (Client, JoinHandle<()>)> {
        let tls = self.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
            Ok((client, task))
        })
    }

    fn cancel(&self, statement: CancelToken) -> Boxed<'_, ()> {
        let tls = self.clone();
        Box::pin(async move { statement.cancel_query(tls).await })
    }
}
