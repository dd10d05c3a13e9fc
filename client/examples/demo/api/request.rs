//! A request of a user: the change of status by which the API accepts it, and the work that it submits in the same
//! commit. Only one of several can win.

use std::time::Duration;

use anyhow::{Result, bail};
use fastrand::Rng;
use volguard::update::{column, le, lt, one_of};
use volguard::{Submit, UpdateOutcome, Volguard, WorkOutcome};

use crate::operation::Operation;
use crate::schema::{CLUSTER, DAMAGED, VOLUME};
use crate::volume::Volume;

/// So many volumes without snapshots, which can be deleted, users keep around.
const PLAIN: usize = 8;
/// MiB. A larger volume is not extended.
const LARGE: u64 = 8;
/// A volume with more of them gets none.
const SNAPSHOTS: u64 = 4;
/// How long a delete waits at least: users may take it back.
pub const GRACE: Duration = Duration::from_millis(300);
/// What users ask for.
const WISHES: [Operation; 4] = [Operation::Create, Operation::Extend, Operation::Snapshot, Operation::Delete];

#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub operation: Operation,
    /// The volume as the user has seen it, a little out of date; none to create one.
    volume: Option<Volume>,
    /// MiB: of a new volume, or to add.
    size: u64,
}

/// What the API answers.
#[derive(Debug)]
pub enum Answer {
    /// As this work.
    Accepted(i64),
    /// Other work is under way, or these columns are not as the operation needs them.
    Refused(Vec<String>),
}

impl Request {
    pub fn choose(volumes: &[Volume], dice: &mut Rng) -> Request {
        let there = volumes.iter().filter(|volume| volume.status != "deleted");
        let plain = there.clone().filter(|volume| volume.snapshots == 0);
        let operation = match plain.count() {
            0..PLAIN => Operation::Create,
            _ => dice.choice(WISHES).unwrap_or(Operation::Create),
        };
        let volume = dice.choice(there.collect::<Vec<_>>()).cloned();
        Request {
            id: dice.i64(0..i64::MAX),
            operation,
            volume: volume.filter(|_| operation != Operation::Create),
            size: dice.u64(2..5),
        }
    }

    /// What has to follow a crash rule.
    pub fn repair(volume: Volume, dice: &mut Rng) -> Request {
        Request { id: dice.i64(0..i64::MAX), operation: Operation::Repair, volume: Some(volume), size: 0 }
    }

    /// The volume, if this is its repair.
    pub fn to_repair(&self) -> Option<&Volume> {
        self.volume.as_ref().filter(|_| self.operation == Operation::Repair)
    }

    pub async fn send(&self, volguard: &Volguard) -> Result<Answer> {
        let outcome = match &self.volume {
            Some(volume) => self.submit(volguard, volume).await?,
            None => {
                // The row and the work that makes its volume, in one commit.
                let mut connection = volguard.connection().await?;
                let transaction = connection.transaction().await?;
                let sql = "INSERT INTO volguard_demo.volumes (status, task, request) VALUES ('new', 'create', $1) \
                           RETURNING to_jsonb(volumes)";
                let row = transaction.query_one(sql, &[&self.id]).await?;
                let volume = serde_json::from_value(row.try_get(0)?)?;
                let outcome = self.submit(volguard, &volume).within(&transaction).await?;
                transaction.commit().await?;
                outcome
            }
        };
        Ok(match outcome {
            WorkOutcome::Started(work) => Answer::Accepted(work.work_id),
            WorkOutcome::Unmet(columns) => Answer::Refused(columns),
            WorkOutcome::Locked => Answer::Refused(vec!["busy".to_owned()]),
            other => bail!("{self:?}: {other:?}"),
        })
    }

    fn submit(&self, volguard: &Volguard, volume: &Volume) -> Submit {
        let submit = volguard
            .submit(CLUSTER, VOLUME, &volume.name)
            .operation(self.operation.name())
            .set("status", self.operation.status())
            .set("task", self.operation)
            .set("request", self.id);
        match self.operation {
            Operation::Create => submit.expect("status", "new").set("new_size", self.size),
            Operation::Extend => submit
                .expect("status", "available")
                .expect("size", le(LARGE))
                .set("new_size", column("size") + self.size),
            Operation::Snapshot => submit.expect("status", "available").expect("snapshots", lt(SNAPSHOTS)),
            // Of the size that the user has seen: what becomes of the volume when it is taken back depends on it.
            Operation::Delete => submit
                .expect("status", one_of(["available", "error"]))
                .expect("snapshots", 0)
                .expect("size", volume.size)
                .delay(GRACE),
            Operation::Repair => submit.expect("status", DAMAGED).priority(10),
        }
    }

    /// Takes a delete back, unless a manager has taken it already.
    pub async fn cancel(&self, volguard: &Volguard, work_id: i64) -> Result<bool> {
        let Some(volume) = &self.volume else { bail!("{self:?} can't be taken back") };
        match volguard.cancel(work_id).set("status", volume.at_rest()).await? {
            UpdateOutcome::Updated(_) => Ok(true),
            UpdateOutcome::Fenced => Ok(false),
            other => bail!("{self:?}: {other:?}"),
        }
    }
}
