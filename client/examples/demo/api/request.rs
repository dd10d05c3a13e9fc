//! A request of a user, and the change of status by which the API accepts it: only one of several can win that.

use anyhow::{Result, bail};
use fastrand::Rng;
use volguard::update::{column, le, lt, one_of};
use volguard::{ConditionalUpdate, UpdateOutcome, Volguard};

use crate::operation::Operation;
use crate::schema::{QUEUED, VOLUMES};
use crate::volume::Volume;

/// So many volumes without snapshots, which can be deleted, users keep around.
const PLAIN: usize = 8;
/// MiB. A larger volume is not extended.
const LARGE: u64 = 8;
/// A volume with more of them gets none.
const SNAPSHOTS: u64 = 4;

#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub operation: Operation,
    /// The volume as the user has seen it, a little out of date; none to create one.
    volume: Option<Volume>,
    /// MiB: of a new volume, or to add.
    size: u64,
}

impl Request {
    pub fn choose(volumes: &[Volume], dice: &mut Rng) -> Request {
        let there = volumes.iter().filter(|volume| volume.status != "deleted");
        let plain = there.clone().filter(|volume| volume.snapshots == 0);
        let operation = match plain.count() {
            0..PLAIN => Operation::Create,
            _ => dice.choice(Operation::ALL).unwrap_or(Operation::Create),
        };
        let volume = dice.choice(there.collect::<Vec<_>>()).cloned();
        Request {
            id: dice.i64(0..i64::MAX),
            operation,
            volume: volume.filter(|_| operation != Operation::Create),
            size: dice.u64(2..5),
        }
    }

    /// Queues the volume for whichever manager is free. Otherwise these columns are not as the operation needs them.
    pub async fn send(&self, volguard: &Volguard) -> Result<Vec<String>> {
        let Some(volume) = &self.volume else {
            let sql = "INSERT INTO volguard_demo.volumes (status, task, request, new_size) VALUES ($1, $2, $3, $4)";
            let (task, size) = (self.operation.to_string(), self.size as i32);
            let client = volguard.connection().await?;
            client.execute(sql, &[&QUEUED, &task, &self.id, &size]).await?;
            return Ok(Vec::new());
        };
        match self.update(volguard, volume).await? {
            UpdateOutcome::Updated(_) => Ok(Vec::new()),
            UpdateOutcome::Unmet(columns) => Ok(columns),
            other => bail!("{self:?}: {other:?}"),
        }
    }

    fn update(&self, volguard: &Volguard, volume: &Volume) -> ConditionalUpdate {
        let update = volguard
            .update(VOLUMES)
            .key("name", &volume.name)
            .set("status", QUEUED)
            .set("task", self.operation)
            .set("request", self.id);
        match self.operation {
            Operation::Extend => update
                .expect("status", "available")
                .expect("size", le(LARGE))
                .set("new_size", column("size") + self.size),
            Operation::Snapshot => update.expect("status", "available").expect("snapshots", lt(SNAPSHOTS)),
            Operation::Create | Operation::Delete => {
                update.expect("status", one_of(["available", "error"])).expect("snapshots", 0)
            }
        }
    }
}
