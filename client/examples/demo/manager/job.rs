//! One operation on one volume: the lock and the status that says what is being done, the work, the end.

use std::sync::Arc;

use anyhow::{Result, bail};
use volguard::update::column;
use volguard::{Error, FinishWork, Session, UpdateOutcome, Work, WorkOutcome};

use super::{Manager, zombie};
use crate::operation::Operation;
use crate::options::Guard;
use crate::schema::{CLUSTER, DAMAGED, REPAIRING, VOLUME};
use crate::storage::StorageError;
use crate::volume::Volume;

#[derive(Debug)]
pub(super) struct Job {
    manager: Arc<Manager>,
    session: Session,
    work: Work,
    /// The row as it is since the work was started.
    row: Volume,
}

impl Job {
    /// Starts work on a volume that waits; nothing, if another manager was faster.
    pub(super) async fn begin(manager: &Arc<Manager>, session: &Session, volume: &Volume) -> Result<Option<Job>> {
        let status = match &*volume.status {
            DAMAGED => REPAIRING,
            _ => volume.task.status(),
        };
        let start = if manager.is_without(Guard::Lock) {
            // A lock that no other manager asks for, and a status that is changed without a look at it.
            session.start_work(&manager.own_type(), &volume.name)
        } else {
            let start = session.start_work(VOLUME, &volume.name);
            start.expect("status", &volume.status).expect("task", volume.task)
        };
        match start.set("status", status).await {
            Ok(WorkOutcome::Started(work)) => Ok(Some(Job {
                manager: Arc::clone(manager),
                session: session.clone(),
                row: work.row().deserialize()?,
                work,
            })),
            Ok(_) => Ok(None),
            Err(error) if is_loss(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn run(self) -> Result<()> {
        let (manager, name) = (Arc::clone(&self.manager), self.row.name.clone());
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
        let manager = &self.manager;
        let owner = (self.session.service_id(), self.work.token());
        let dead = self.dead_services().await?;
        let mut volume = match manager.storage.open(&self.row.name, owner, &dead) {
            // The session was lost before the volume could be opened.
            Err(StorageError::Refused(_)) if self.session.loss().is_some() => return Ok(()),
            opened => opened?,
        };
        // No step begins after the loss of the lock, by the clock of this process. A pause between the look at the
        // clock and the write is what no clock can prevent: there the storage refuses the write.
        match self.work.run(volume.perform(&self.row)).await {
            Ok(performed) => performed?,
            Err(loss) => {
                let name = &self.row.name;
                manager.timeline.say(&format!("stops working on {name}: {loss}"));
                return zombie::go_on(manager, owner, name, volume).await;
            }
        }
        volume.close()?;
        let token = self.work.token();
        let finish = self.work.finish().set("token", token);
        match result(finish, &self.row).await {
            Ok(UpdateOutcome::Updated(_)) => Ok(()),
            // Another manager repairs it, as if this one had died.
            Ok(UpdateOutcome::Fenced) => Ok(()),
            Err(error) if is_loss(&error) => Ok(()),
            Ok(other) => bail!("{}: {other:?}", self.row.name),
            Err(error) => Err(error.into()),
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
    if row.status == REPAIRING {
        return finish.set("status", row.at_rest());
    }
    match row.task {
        Operation::Create | Operation::Extend => finish.set("status", "available").set("size", column("new_size")),
        Operation::Snapshot => finish.set("status", "available").set("snapshots", column("snapshots") + 1),
        Operation::Delete => finish.set("status", "deleted"),
    }
}

/// Whether the session is lost. Then the manager registers anew.
fn is_loss(error: &Error) -> bool {
    matches!(error, Error::SessionLost(_) | Error::ServiceFenced(_) | Error::LeaseExpired(_))
}
