//! One connection to the server, and the pool of such.

use super::StatementMode;
use crate::sql::{Answer, Executor, Params, Statement};
use crate::{Error, telemetry};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, Config, SimpleQueryMessage, Socket};

pub(super) type Pool = managed::Pool<Manager>;
pub(super) type PoolError = managed::PoolError<Error>;

/// What [`Wire`] consists of.
pub(super) type Connected = (Client, JoinHandle<bool>);
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// Pause between two requests to cancel a statement that still runs.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);
/// How long a statement that was given up may take to end before its connection is closed all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection that the caller had may be busy with the end of a transaction, and be cleaned, before its
/// statement counts as left running.
const IDLE_WITHIN: Duration = Duration::from_secs(1);

/// An open connection. Dropped while a statement is under way, it is given up in the background; without a runtime, or
/// with nothing to end, its socket is closed at once.
pub(crate) struct Wire {
    pub(super) client: Client,
    /// Ends with the connection, once the client is dropped and all that was sent is answered. Whether it ended so.
    /// `None` once it is given up.
    task: Option<JoinHandle<bool>>,
    server: Arc<Server>,
    /// How long a statement may take, without the time that it is told to wait.
    pub(crate) limit: Duration,
    prepared: Mutex<HashMap<&'static str, tokio_postgres::Statement>>,
    /// How many statements are under way, or were given up.
    busy: AtomicUsize,
    /// The caller had it, and may have left a statement running, a transaction open, or settings.
    pub(super) lent: AtomicBool,
}

impl Wire {
    pub(super) fn new((client, task): Connected, server: &Arc<Server>) -> Wire {
        let (prepared, busy, lent) = Default::default();
        let (server, limit) = (Arc::clone(server), server.time_limit);
        Wire { client, task: Some(task), server, limit, prepared, busy, lent }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Makes it as new for its next user, after a caller had it. Fails if it is not idle in time, because a statement
    /// or a transaction was left open.
    pub(super) async fn cleaned(&self) -> bool {
        // What DISCARD ALL does, but for prepared statements. In an open transaction, which began earlier than this
        // statement, it is rolled back with it.
        const CLEAN: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; \
             DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all(); \
             SELECT pg_catalog.now() OPERATOR(pg_catalog.=) pg_catalog.statement_timestamp()";
        let is_idle = |m: &SimpleQueryMessage| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
        let answer = timeout(IDLE_WITHIN, self.client.simple_query(CLEAN)).await;
        matches!(answer, Ok(Ok(messages)) if messages.iter().any(is_idle))
    }

    async fn prepare(&self, sql: &'static Statement) -> Result<tokio_postgres::Statement, Error> {
        let mut prepared = self.prepared.lock().await;
        if let Some(known) = prepared.get(sql.text) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare_typed(sql.text, sql.types).await?;
        prepared.insert(sql.text, statement.clone());
        Ok(statement)
    }

    async fn send(&self, sql: &'static Statement, params: Params<'_>) -> Answer {
        if self.server.mode == StatementMode::Unnamed {
            return Ok(self.client.query_typed(sql.text, &sql.typed(params)).await?);
        }
        let answer = self.client.query(&self.prepare(sql).await?, params).await;
        // It is prepared again by the next call, which may be a repetition in the background.
        if answer.as_ref().is_err_and(|error| error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)) {
            self.prepared.lock().await.remove(sql.text);
        }
        Ok(answer?)
    }

    /// Ends the statement that runs on it, and closes it. Returns whether the statement is certainly over.
    pub(crate) async fn give_up(mut self, patience: Duration) -> bool {
        let Some(task) = self.task.take() else { return false };
        let (server, statement) = (Arc::clone(&self.server), self.client.cancel_token());
        drop(self);
        server.end(statement, task, patience).await
    }
}

impl Executor for Wire {
    async fn rows(&self, sql: &'static Statement, params: Params<'_>, wait: Duration) -> Answer {
        let call = async {
            self.busy.fetch_add(1, Ordering::Relaxed);
            let answer = self.send(sql, params).await;
            self.busy.fetch_sub(1, Ordering::Relaxed);
            answer
        };
        let limit = self.limit.saturating_add(wait);
        telemetry::observed(sql.verb, async { timeout(limit, call).await.unwrap_or(Err(Error::NoReply)) }).await
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        let open = (self.is_busy() || *self.lent.get_mut()) && !self.is_closed();
        if let (true, Ok(runtime)) = (open, Handle::try_current()) {
            let (server, statement) = (Arc::clone(&self.server), self.client.cancel_token());
            runtime.spawn(async move { server.end(statement, task, PATIENCE).await });
        } else {
            task.abort();
        }
    }
}

/// Where connections lead, and how they are made and used.
pub(crate) struct Server {
    pub(super) config: Config,
    pub(super) tls: Arc<dyn Connector>,
    pub(super) mode: StatementMode,
    /// For one address.
    pub(super) connect_timeout: Duration,
    /// Of a call, without the time that it is told to wait.
    pub(crate) time_limit: Duration,
}

impl Server {
    /// Ends the statement of a connection whose client was dropped. Returns whether it is certainly over.
    async fn end(&self, statement: CancelToken, mut task: JoinHandle<bool>, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            // A request that overtakes the statement finds nothing to cancel, so it is repeated.
            if self.mode != StatementMode::Unnamed {
                match timeout(self.connect_timeout, self.tls.cancel(statement.clone())).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "the cancel request could not be sent"),
                    Err(_) => tracing::debug!("the cancel request took too long"),
                }
            }
            match timeout(CANCEL_AGAIN, &mut task).await {
                Ok(ended) => return ended.unwrap_or(false),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => {
                    task.abort();
                    return false;
                }
            }
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
        (!wire.is_closed()).then_some(()).ok_or(RecycleError::message("closed"))
    }
}

/// Connects and cancels with TLS, or without.
pub(crate) trait Connector: Send + Sync {
    fn connect(&self, config: Config) -> Boxed<'_, Connected>;
    fn cancel(&self, statement: CancelToken) -> Boxed<'_, ()>;
}

impl<T> Connector for T
where
    T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: TlsConnect<Socket, Future: Send> + Send>,
    T: Clone + Send + Sync + 'static,
{
    fn connect(&self, config: Config) -> Boxed<'_, Connected> {
        Box::pin(async move {
            let (client, connection) = config.connect(self.clone()).await?;
            let ended = |error| tracing::debug!(%error, "a connection ended");
            let task = tokio::spawn(async move { connection.await.map_err(ended).is_ok() });
            Ok((client, task))
        })
    }

    fn cancel(&self, statement: CancelToken) -> Boxed<'_, ()> {
        Box::pin(async move { statement.cancel_query(self.clone()).await })
    }
}
