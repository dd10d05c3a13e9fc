//! Connections that were taken from the pool, or opened beside it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool::managed::Object;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::Volguard;
use super::wire::{Manager, Server, Wire};
use crate::sql::{Answer, Executor, Params, Statement};
use crate::{Error, telemetry};

/// How long a statement that was given up may take to end before its connection is closed all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection that the caller had may be busy with the end of a transaction, and be cleaned, before its
/// statement counts as left running.
const IDLE_WITHIN: Duration = Duration::from_secs(1);
const THERE: &str = "it is there until it is dropped";

/// A connection of the pool, to which it returns when it is dropped. Made by [`Volguard::connection`].
///
/// It is a [`tokio_postgres::Client`]: use it for statements and transactions of your own, or with [`sql`](crate::sql).
pub struct Connection {
    /// `None` while it is dropped.
    pooled: Option<Object<Manager>>,
    volguard: Volguard,
}

impl Connection {
    pub(super) fn new(pooled: Object<Manager>, volguard: Volguard) -> Connection {
        Connection { pooled: Some(pooled), volguard }
    }

    /// Awaits a call on this connection, within the time limit. If this future is dropped, or the limit reached, the
    /// connection is not used again: its statement is cancelled.
    pub(crate) async fn run<T>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.run_within(self.volguard.time_limit(), verb, call).await
    }

    pub(crate) async fn run_within<T>(
        &self,
        limit: Duration,
        verb: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        telemetry::observed(verb, async { timeout(limit, call).await.unwrap_or(Err(Error::NoReply)) }).await
    }

    /// Takes the connection out of the pool, to give up its statement.
    pub(crate) fn take(mut self) -> Wire {
        Object::take(self.pooled.take().expect(THERE))
    }

    fn wire(&self) -> &Wire {
        self.pooled.as_ref().expect(THERE)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let server = Arc::clone(self.volguard.server());
        if pooled.is_busy() {
            // The pool has room for another connection from now on.
            give_up(server, Object::take(pooled));
        } else if let (true, Ok(runtime)) = (pooled.lent.load(Ordering::Relaxed), Handle::try_current()) {
            runtime.spawn(async move {
                if pooled.cleaned(IDLE_WITHIN).await {
                    pooled.lent.store(false, Ordering::Relaxed);
                } else {
                    server.give_up(Object::take(pooled), PATIENCE).await;
                }
            });
        }
        // Without a runtime, one that was lent is checked before its next use.
    }
}

/// Ends the statement in the background. Without a runtime the connection is closed at once.
fn give_up(server: Arc<Server>, wire: Wire) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { server.give_up(wire, PATIENCE).await });
    }
}

impl Executor for Connection {
    async fn rows(&self, sql: &'static Statement, params: Params<'_>) -> Answer {
        self.wire().rows(sql, params).await
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.wire().lent.store(true, Ordering::Relaxed);
        &self.wire().client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        let wire: &mut Wire = self.pooled.as_mut().expect(THERE);
        *wire.lent.get_mut() = true;
        &mut wire.client
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("closed", &self.wire().is_closed()).finish_non_exhaustive()
    }
}

/// A connection beside the pool, for one task. Closed when it is dropped; a statement under way is cancelled.
pub(crate) struct Dedicated {
    /// `None` while it is dropped.
    pub(super) wire: Option<Wire>,
    pub(super) server: Arc<Server>,
}

impl Deref for Dedicated {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        self.wire.as_ref().expect(THERE)
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take_if(|wire| wire.is_busy() && !wire.is_closed()) {
            give_up(Arc::clone(&self.server), wire);
        }
    }
}
