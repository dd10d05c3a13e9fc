//! A connection that was taken from the pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool::managed::Object;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::{Client, Row};

use super::Volguard;
use super::wire::{Manager, Wire};
use crate::error::Error;
use crate::sql::{Executor, Params, Statement, sealed};
use crate::telemetry;

type Pooled = Object<Manager>;

/// How long a statement that was given up may take to end before its connection is closed all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection that the caller had may be busy with the end of a transaction before its statement counts as
/// left running.
const IDLE_WITHIN: Duration = Duration::from_secs(1);

/// A connection of the pool, to which it returns when it is dropped. Made by [`Volguard::connection`].
///
/// It is a [`tokio_postgres::Client`]: use it for statements and transactions of your own, or with
/// [`sql`](crate::sql).
pub struct Connection {
    /// `None` while it is dropped.
    pooled: Option<Pooled>,
    volguard: Volguard,
}

impl Connection {
    pub(super) fn new(pooled: Pooled, volguard: Volguard) -> Connection {
        Connection { pooled: Some(pooled), volguard }
    }

    /// Awaits a call on this connection, within the time limit. If this future is dropped, or the limit reached, the
    /// connection is not used again: its statement is cancelled.
    pub(crate) async fn run<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.volguard.time_limit();
        self.run_within(limit, verb, call).await
    }

    pub(crate) async fn run_within<T>(
        &self,
        limit: Duration,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limited = async { timeout(limit, call).await.unwrap_or(Err(Error::NoReply)) };
        telemetry::observed(verb, limited).await
    }

    /// Takes the connection out of the pool, to give up its statement.
    pub(crate) fn take(mut self) -> Wire {
        Object::take(self.pooled.take().expect("it is there until it is dropped"))
    }

    fn wire(&self) -> &Wire {
        self.pooled.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let server = Arc::clone(self.volguard.server());
        // Without a runtime, one that is busy is closed at once, and one that was lent is checked before its next use.
        let Ok(runtime) = Handle::try_current() else {
            if pooled.is_busy() {
                drop(Object::take(pooled));
            }
            return;
        };
        if pooled.is_busy() {
            // The pool has room for another connection from now on.
            let wire = Object::take(pooled);
            runtime.spawn(async move { server.give_up(wire, PATIENCE).await });
        } else if pooled.lent.load(Ordering::Relaxed) {
            runtime.spawn(async move {
                if pooled.becomes_idle(IDLE_WITHIN).await {
                    pooled.lent.store(false, Ordering::Relaxed);
                } else {
                    server.give_up(Object::take(pooled), PATIENCE).await;
                }
            });
        }
    }
}

impl sealed::Sealed for Connection {}

impl Executor for Connection {
    async fn rows(&self, statement: &'static Statement, params: Params<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.wire().rows(statement, params).await
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        let wire = self.wire();
        wire.lent.store(true, Ordering::Relaxed);
        wire.client()
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        let wire: &mut Wire = self.pooled.as_mut().expect("it is there until it is dropped");
        *wire.lent.get_mut() = true;
        wire.client_mut()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("wire", self.wire()).finish_non_exhaustive()
    }
}
