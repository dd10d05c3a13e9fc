//! Taking over the work of crashed services.

mod claimed;
mod cleanups;

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Row;

pub use self::claimed::ClaimedCleanup;
pub use self::cleanups::{Cleanups, Restarted};
use crate::acquire::Granted;
use crate::error::Error;
use crate::queue::Key;
use crate::session::{Core, REPLY_LIMIT, Session, finish};
use crate::statements;

/// How long a claim whose connection broke may still be under way on the server.
const GRACE: Duration = Duration::from_secs(10);

/// A request to claim work of crashed services. Made by [`Session::claim_cleanup`]; `.await` it, or call
/// [`run`](ClaimCleanup::run).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct ClaimCleanup {
    session: Session,
    max_rows: i32,
    resource_type: Option<String>,
}

impl ClaimCleanup {
    pub(crate) fn new(session: Session) -> ClaimCleanup {
        ClaimCleanup { session, max_rows: 1, resource_type: None }
    }

    /// How many pieces of work to take at most. Default: one.
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = i32::try_from(rows).unwrap_or(i32::MAX);
        self
    }

    /// Only work on resources of this type.
    pub fn resource_type(mut self, resource_type: &str) -> Self {
        self.resource_type = Some(resource_type.to_owned());
        self
    }

    /// Takes work that no other call is taking or repairing. It never waits.
    ///
    /// Work of this service's earlier incarnations comes first, then that of other services of its cluster.
    /// [`Session::cleanups`] does this in a loop.
    ///
    /// # Errors
    /// - [`Error::SessionLost`] without asking the server;
    /// - [`Error::ServiceFenced`], [`Error::LeaseExpired`]: the server refuses this service;
    /// - [`Error::Pool`], [`Error::Database`] (22023 for no rows at all or an empty type), [`Error::NoReply`].
    ///
    /// After an error no claim stays behind: if the server has granted one after all, the session finds it and gives it
    /// back in the background.
    ///
    /// # Cancel safety
    /// When the future is dropped, what was claimed is given back.
    pub async fn run(self) -> Result<Vec<ClaimedCleanup>, Error> {
        // Claims that the caller doesn't receive are dropped, which gives them back.
        finish(self.claim()).await
    }

    async fn claim(self) -> Result<Vec<ClaimedCleanup>, Error> {
        let core = self.session.core();
        core.lease.check().map_err(Error::SessionLost)?;
        // One at a time: the search for lost claims must know of all others.
        let _claiming = core.claiming.lock().await;
        let _gate = tokio::select! {
            gate = core.gate.read() => gate,
            loss = core.lease.lost() => return Err(Error::SessionLost(loss)),
        };
        match self.ask(core).await {
            // Claims that are not returned are dropped.
            Ok(claimed) => {
                core.lease.check().map_err(Error::SessionLost)?;
                Ok(claimed)
            }
            Err(error) => {
                core.heed(&error);
                if error.leaves_doubt() {
                    core.doubt_claims(Instant::now() + GRACE);
                    self.session.reaper().settle();
                }
                Err(error)
            }
        }
    }

    async fn ask(&self, core: &Core) -> Result<Vec<ClaimedCleanup>, Error> {
        let rows = core
            .volguard
            .rows_within(
                REPLY_LIMIT,
                &statements::CLAIM_CLEANUP,
                &[&core.service_id, &self.max_rows, &self.resource_type],
            )
            .await?;
        rows.iter().map(|row| ClaimedCleanup::read(&self.session, row)).collect()
    }
}

impl IntoFuture for ClaimCleanup {
    type Output = Result<Vec<ClaimedCleanup>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn granted(row: &Row) -> Result<Granted, Error> {
    Ok(Granted {
        token: row.try_get("token")?,
        key: Arc::new(Key {
            resource_type: row.try_get("resource_type")?,
            resource_id: row.try_get("resource_id")?,
            lock_name: row.try_get("lock_name")?,
        }),
        row: None,
    })
}
