//! The locks of one operation.

use std::time::Duration;

use anyhow::anyhow;
use uuid::Uuid;
use volguard::{Acquire, Lock, Session};

use super::failure::Failure;
use crate::operation::RECOVERING;
use crate::options::Sabotage;
use crate::request::Request;
use crate::schema::{REQUEST, SNAPSHOT, VOLUME};

/// How long to wait for a volume. Long enough for a dead holder's lease to end, whose work the waiter then has cleaned up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for locks, or, sabotaged, for locks that nobody else asks for.
#[derive(Debug)]
pub(super) struct Locks<'a> {
    pub(super) session: &'a Session,
    pub(super) sabotage: Option<Sabotage>,
    /// The manager's name.
    pub(super) owner: &'a str,
}

/// What an operation holds. A snapshot is work on the snapshot's row, under a plain lock on the volume; everything else is work
/// on the volume's row.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) volume: Lock,
    pub(super) snapshot: Option<Lock>,
}

impl Locks<'_> {
    /// The request, for this manager alone; `None` if another one has it. Dies with its holder.
    pub(super) async fn claim(&self, request: i64) -> Result<Option<Lock>, Failure> {
        Ok(self.acquire(REQUEST, &request.to_string()).await?)
    }

    pub(super) async fn hold(&self, request: &Request) -> Result<Held, Failure> {
        let status = request.operation.working_status();
        let Some(snapshot) = request.snapshot else {
            let volume = self.wait(VOLUME, request.volume, Some(status)).await?;
            return Ok(Held {
                volume,
                snapshot: None,
            });
        };
        // Always in this order, so that two operations can't wait for each other.
        let volume = self.wait(VOLUME, request.volume, None).await?;
        let snapshot = self.wait(SNAPSHOT, snapshot, Some(status)).await?;
        Ok(Held {
            volume,
            snapshot: Some(snapshot),
        })
    }

    /// From now on the work is to repair what a crash left.
    pub(super) async fn mark_recovering(&self, held: &Held) -> Result<(), Failure> {
        if self.sabotage != Some(Sabotage::Lock) {
            held.work().set_status(Some(RECOVERING)).await?;
        }
        Ok(())
    }

    async fn wait(&self, kind: &str, id: Uuid, status: Option<&str>) -> Result<Lock, Failure> {
        let acquire = self.acquire(kind, &id.to_string()).wait(PATIENCE);
        let acquire = match status {
            // Work has one slot per resource, which would exclude others as well.
            Some(status) if self.sabotage != Some(Sabotage::Lock) => acquire.status(status),
            _ => acquire,
        };
        let lock = acquire.await?;
        Ok(lock.ok_or_else(|| anyhow!("{kind} {id} was not free within {PATIENCE:?}"))?)
    }

    fn acquire(&self, kind: &str, id: &str) -> Acquire {
        let acquire = self.session.acquire(kind, id);
        match self.sabotage {
            Some(Sabotage::Lock) => acquire.lock_name(self.owner),
            _ => acquire,
        }
    }
}

impl Held {
    /// The lock whose status says what is being done.
    pub(super) fn work(&self) -> &Lock {
        self.snapshot.as_ref().unwrap_or(&self.volume)
    }

    pub(super) fn into_locks(self) -> impl Iterator<Item = Lock> {
        [Some(self.volume), self.snapshot].into_iter().flatten()
    }
}
