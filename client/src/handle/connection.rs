//! Connections that were taken from the pool.

use super::Volguard;
use super::wire::{Manager, Wire};
use crate::sql::{Answer, Executor, Params, Statement};
use deadpool::managed::Object;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_postgres::Client;

const THERE: &str = "it is there until it is dropped";

/// A connection of the pool, to which it returns when it is dropped. Made by [`Volguard::connection`].
///
/// It is a [`tokio_postgres::Client`]: use it for statements and transactions of your own, or with [`sql`](crate::sql).
pub struct Connection {
    /// `None` while it is dropped.
    pub(super) pooled: Option<Object<Manager>>,
}

impl Connection {
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
        match (pooled.lent.load(Ordering::Relaxed), Handle::try_current()) {
            (false, _) if !pooled.is_busy() => {}
            (true, Ok(runtime)) if !pooled.is_busy() => {
                runtime.spawn(async move {
                    if pooled.cleaned().await {
                        pooled.lent.store(false, Ordering::Relaxed);
                    } else {
                        drop(Object::take(pooled));
                    }
                });
            }
            // The pool has room for another connection from now on.
            _ => drop(Object::take(pooled)),
        }
    }
}

impl Executor for Connection {
    async fn rows(&self, sql: &'static Statement, params: Params<'_>, wait: Duration) -> Answer {
        self.wire().rows(sql, params, wait).await
    }
}

impl Executor for Volguard {
    async fn rows(&self, sql: &'static Statement, params: Params<'_>, wait: Duration) -> Answer {
        self.connection().await?.rows(sql, params, wait).await
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
