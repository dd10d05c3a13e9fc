//! The rows that an operation is about: as it finds them, and as it leaves them.

use anyhow::{Result, anyhow};
use deadpool_postgres::Pool;
use volguard::{ConditionalUpdate, UpdateOutcome, Volguard, column};

use super::failure::Failure;
use super::locks::Held;
use crate::event::Door;
use crate::operation::{Operation, RECOVERING};
use crate::request::{Ending, Request};
use crate::schema::{SNAPSHOTS, VOLUMES};
use crate::storage::Truth;

/// What the database said when the locks were held already.
#[derive(Debug)]
pub(super) struct Situation {
    /// Of the row that is worked on.
    pub(super) status: String,
    pub(super) size: u64,
    pub(super) new_size: u64,
    pub(super) instance: Option<String>,
    previous_status: Option<String>,
    /// The database's clock, in microseconds.
    pub(super) at: i64,
}

impl Situation {
    pub(super) async fn read(pool: &Pool, request: &Request) -> Result<Situation> {
        let sql = "SELECT coalesce(s.status, v.status), v.size, v.new_size, v.instance, v.previous_status, \
                          (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
                   FROM volguard_demo.volumes AS v LEFT JOIN volguard_demo.snapshots AS s ON s.id = $2 WHERE v.id = $1";
        let client = pool.get().await?;
        let statement = client.prepare_cached(sql).await?;
        let row = client
            .query_one(&statement, &[&request.volume, &request.snapshot])
            .await?;
        let size: i32 = row.try_get(1)?;
        let new_size: Option<i32> = row.try_get(2)?;
        Ok(Situation {
            status: row.try_get(0)?,
            size: size.unsigned_abs().into(),
            new_size: new_size.unwrap_or(size).unsigned_abs().into(),
            instance: row.try_get(3)?,
            previous_status: row.try_get(4)?,
            at: row.try_get(5)?,
        })
    }

    /// What is to be done: what the request asks for, or to undo what a crash left of that.
    pub(super) fn operation(&self, request: &Request) -> Result<Operation> {
        let operation = request.operation;
        match self.status.as_str() {
            status if status == operation.working_status() => Ok(operation),
            RECOVERING => Ok(operation.remedy()),
            other => Err(anyhow!("{} is {other} before {operation}", request.name)),
        }
    }

    /// What the files of a volume that is recovered have to be.
    pub(super) fn truth(&self) -> Truth {
        match self.previous_status.as_deref() {
            Some("error") => Truth::Absent,
            _ => Truth::Present {
                size: self.size,
                instance: self.instance.clone(),
            },
        }
    }
}

/// Writes the result and closes the request, in one transaction that the locks fence.
pub(super) async fn finish(
    volguard: &Volguard,
    request: &Request,
    operation: Operation,
    situation: &Situation,
    held: &Held,
    host: &str,
) -> Result<Ending, Failure> {
    let ending = match operation {
        Operation::Recover | Operation::Discard => Ending::Failed,
        _ => Ending::Done,
    };
    let mut client = volguard.pool().get().await?;
    let transaction = client.transaction().await?;
    if held.snapshot.is_some() {
        held.volume.assert_held_in(&transaction).await?;
    }
    let update = result(volguard, request, operation, situation, held, host);
    match update
        .fenced_by(held.work())
        .execute_in(&transaction)
        .await?
    {
        UpdateOutcome::Updated(_) => {}
        UpdateOutcome::Fenced => return Err(Failure::Stopped(Door::ConditionalUpdate)),
        other => return Err(anyhow!("{} after {operation}: {other:?}", request.name).into()),
    }
    request
        .close(&transaction, ending, held.volume.token(), host)
        .await?;
    transaction.commit().await?;
    Ok(ending)
}

fn result(
    volguard: &Volguard,
    request: &Request,
    operation: Operation,
    situation: &Situation,
    held: &Held,
    host: &str,
) -> ConditionalUpdate {
    let update = match request.snapshot {
        Some(snapshot) => volguard.update(SNAPSHOTS).key("id", snapshot),
        None => volguard
            .update(VOLUMES)
            .key("id", request.volume)
            .set("host", host),
    };
    let update = update
        .expect("status", operation.working_status())
        .set("last_token", held.volume.token());
    match operation {
        Operation::Create => update.set("status", "available"),
        Operation::Extend => update
            .set("status", "available")
            .set("size", column("new_size"))
            .set("new_size", None::<i32>),
        Operation::Snapshot => update
            .set("status", "available")
            .set("size", situation.size),
        Operation::Attach => update
            .set("status", "in-use")
            .set("attach_status", "attached"),
        Operation::Detach => update
            .set("status", "available")
            .set("attach_status", "detached")
            .set("instance", None::<String>),
        Operation::Delete => update.set("status", "deleted").set("deleted", true),
        Operation::Recover => update.set("status", column("previous_status")),
        Operation::Discard => update.set("status", "error"),
    }
}
