//! What the API does about a wish: the change of status that only one of several can win, and with it the request.

use anyhow::{Result, bail};
use deadpool_postgres::Transaction;
use uuid::Uuid;
use volguard::{ConditionalUpdate, UpdateOutcome, Volguard, column, not, one_of};

use super::screen::Shown;
use crate::operation::Operation;
use crate::schema::VOLUMES;

#[derive(Debug)]
pub(super) enum Answer {
    /// It will be carried out, as this request.
    Accepted(i64),
    /// The volume is not as the operation needs it: in these columns.
    Refused(Vec<String>),
}

/// What a user asks for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) operation: Operation,
    /// The volume as the user saw it; none to create one.
    pub(super) volume: Option<Shown>,
    /// MiB, for a new volume, or to add.
    pub(super) size: i32,
    /// What to attach to.
    pub(super) instance: String,
}

impl Wish {
    pub(super) async fn ask(&self, volguard: &Volguard) -> Result<Answer> {
        let mut client = volguard.pool().get().await?;
        let transaction = client.transaction().await?;
        let (volume, snapshot) = match &self.volume {
            None => (self.create(&transaction).await?, None),
            Some(shown) => {
                match self
                    .update(volguard, shown)
                    .execute_in(&transaction)
                    .await?
                {
                    UpdateOutcome::Updated(_) => {}
                    UpdateOutcome::Unmet(columns) => return Ok(Answer::Refused(columns)),
                    other => bail!("{}: {other:?}", self.operation),
                }
                (shown.id, self.snapshot(&transaction, shown).await?)
            }
        };
        let sql = "INSERT INTO volguard_demo.requests (operation, volume_id, snapshot_id) VALUES ($1, $2, $3) \
                   RETURNING id";
        let row = transaction
            .query_one(sql, &[&self.operation.name(), &volume, &snapshot])
            .await?;
        transaction.commit().await?;
        Ok(Answer::Accepted(row.try_get(0)?))
    }

    fn update(&self, volguard: &Volguard, shown: &Shown) -> ConditionalUpdate {
        let update = volguard.update(VOLUMES).key("id", shown.id);
        if self.operation == Operation::Snapshot {
            // It leaves the volume's status alone: the volume may be extended meanwhile, one after the other by the lock.
            return update
                .expect("status", one_of(["available", "in-use"]))
                .set("snapshots", column("snapshots") + 1);
        }
        let update = update
            .set("previous_status", column("status"))
            .set("status", self.operation.working_status());
        match self.operation {
            Operation::Extend => update
                .expect("status", "available")
                .expect("size", shown.size)
                .set("new_size", column("size") + self.size),
            Operation::Attach => update
                .expect("status", "available")
                .expect("attach_status", not(one_of(["attached", "attaching"])))
                .set("instance", &self.instance),
            Operation::Detach => update
                .expect("status", "in-use")
                .expect("attach_status", "attached"),
            _ => update
                .expect("status", one_of(["available", "error"]))
                .expect("attach_status", not("attached"))
                .expect("snapshots", 0),
        }
    }

    async fn create(&self, transaction: &Transaction<'_>) -> Result<Uuid> {
        let id = Uuid::new_v4();
        let sql =
            "INSERT INTO volguard_demo.volumes (id, size, status) VALUES ($1, $2, 'creating')";
        transaction.execute(sql, &[&id, &self.size]).await?;
        Ok(id)
    }

    async fn snapshot(&self, transaction: &Transaction<'_>, shown: &Shown) -> Result<Option<Uuid>> {
        if self.operation != Operation::Snapshot {
            return Ok(None);
        }
        let id = Uuid::new_v4();
        let sql = "INSERT INTO volguard_demo.snapshots (id, volume_id, size, status) VALUES ($1, $2, $3, 'creating')";
        transaction
            .execute(sql, &[&id, &shown.id, &shown.size])
            .await?;
        Ok(Some(id))
    }
}
