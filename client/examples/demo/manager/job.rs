//! One operation on one volume, from the hand-over to its end.

use std::sync::Arc;

use anyhow::{Result, bail};
use volguard::update::column;
use volguard::{Error, FinishWork, Session, UpdateOutcome, Work};

use super::{Manager, zombie};
use crate::operation::Operation;
use crate::options::Guard;
use crate::schema::{CLUSTER, VOLUMES};
use crate::storage::StorageError;
use crate::volume::Volume;

#[derive(Debug)]
pub(super) struct Job {
    manager: Arc<Manager>,
    session: Session,
    work: Work,
}

impl Job {
    pub(super) fn new(manager: &Arc<Manager>, session: &Session, work: Work) -> Job {
        Job { manager: Arc::clone(manager), session: session.clone(), work }
    }

    pub(super) async fn run(self) -> Result<()> {
        let (manager, name) = (Arc::clone(&self.manager), self.work.resource_id().to_owned());
        match self.perform().await {
            // Managers without locks get into each other's way.
            Err(error) if manager.is_without(Guard::Lock) => {
                manager.timeline.say(&format!("gives {name} up: {error:#}"));
                Ok(())
            }
            ended => ended,
        }
    }

    /// Does the work on the storage, says so in the database, and gives the volume back.
    async fn perform(mut self) -> Result<()> {
        let Some(row) = self.begin().await? else { return Ok(()) };
        let manager = &self.manager;
        let owner = (self.session.service_id(), self.work.token());
        let dead = self.dead_services().await?;
        let mut volume = match manager.storage.open(&row.name, owner, &dead) {
            // The session was lost before the volume could be opened.
            Err(StorageError::Refused(_)) if self.session.loss().is_some() => return Ok(()),
            opened => opened?,
        };
        // No step begins after the loss of the lock, by the clock of this process. A pause between the look at the
        // clock and the write is what no clock can prevent: there the storage refuses the write.
        match self.work.run(volume.perform(&row)).await {
            Ok(performed) => performed?,
            Err(loss) => {
                let name = &row.name;
                manager.timeline.say(&format!("stops working on {name}: {loss}"));
                return zombie::go_on(manager, owner, name, volume).await;
            }
        }
        volume.close()?;
        match result(self.work.finish(), &row).await {
            Ok(UpdateOutcome::Updated(_)) => Ok(()),
            // Another manager repairs it, as if this one had died.
            Ok(UpdateOutcome::Fenced) => Ok(()),
            Err(error) if is_loss(&error) => Ok(()),
            Ok(other) => bail!("{}: {other:?}", row.name),
            Err(error) => Err(error.into()),
        }
    }

    /// Shows in the row who does it. Nothing if the lock is lost already.
    async fn begin(&self) -> Result<Option<Volume>> {
        let update = self.manager.volguard.update(VOLUMES).key("name", self.work.resource_id());
        let update = update.set("token", self.work.token()).set("attempt", self.work.attempt());
        match update.fenced_by(&self.work).await {
            Ok(UpdateOutcome::Updated(row)) => Ok(Some(row.deserialize()?)),
            Ok(UpdateOutcome::Fenced) => Ok(None),
            Err(error) if is_loss(&error) => Ok(None),
            other => bail!("{}: {other:?}", self.work.resource_id()),
        }
    }

    /// The services of which the storage has to be told that they are dead.
    async fn dead_services(&self) -> Result<Vec<i64>> {
        let sql = "SELECT service_id FROM volguard.service_status WHERE cluster = $1 AND state = 'fenced'";
        let client = self.manager.volguard.connection().await?;
        let rows = client.query(sql, &[&CLUSTER]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

/// The row after its operation.
fn result<'w>(finish: FinishWork<'w>, row: &Volume) -> FinishWork<'w> {
    match row.task {
        Operation::Create | Operation::Extend => finish.set("status", "available").set("size", column("new_size")),
        Operation::Snapshot => finish.set("status", "available").set("snapshots", column("snapshots") + 1),
        Operation::Delete => finish.set("status", "deleted"),
        Operation::Repair => finish.set("status", row.at_rest()),
    }
}

/// Whether the session is lost. Then the manager registers anew.
pub(super) fn is_loss(error: &Error) -> bool {
    matches!(error, Error::SessionLost(_) | Error::ServiceFenced(_) | Error::LeaseExpired(_))
}
