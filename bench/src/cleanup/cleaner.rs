//! The ways to clean up.

use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::database::Database;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaner {
    /// `volguard.cleanup`, as a role with `grant_usage` only.
    Ours,
    /// The same DELETEs and UPDATEs in one transaction, and no more: acquires are not
    /// blocked, no waiter is woken, and one resource that fails stops everything.
    Bare,
    /// As Cinder does it: reads all rows, and for each of them claims it by compare-and-swap,
    /// updates its resource and deletes it, in statements and commits of their own.
    Rows,
}

impl Cleaner {
    pub const ALL: [Cleaner; 3] = [Cleaner::Ours, Cleaner::Bare, Cleaner::Rows];

    pub fn name(self) -> &'static str {
        match self {
            Cleaner::Ours => "cleanup",
            Cleaner::Bare => "bare SQL",
            Cleaner::Rows => "row by row",
        }
    }

    /// The part of `rows` that this cleaner gets: one that takes a hundred times as long needs fewer rows for a figure.
    pub fn share(self, rows: u32) -> u32 {
        const FIFTIETH_OF_FOURS: u32 = 200;
        match self {
            Cleaner::Ours | Cleaner::Bare => rows,
            Cleaner::Rows => (rows / FIFTIETH_OF_FOURS).max(1) * 4,
        }
    }

    pub async fn connect(self, database: &Database) -> Result<Client> {
        match self {
            Cleaner::Ours => database.connect().await,
            Cleaner::Bare | Cleaner::Rows => database.connect_as_superuser().await,
        }
    }

    pub async fn clean(self, client: &Client) -> Result<()> {
        match self {
            Cleaner::Ours => {
                let cleanup = include_str!("../../sql/cleanup/cleanup.sql");
                Ok(client.batch_execute(cleanup).await?)
            }
            Cleaner::Bare => bare(client).await,
            Cleaner::Rows => row_by_row(client).await,
        }
    }
}

async fn bare(client: &Client) -> Result<()> {
    client.batch_execute("BEGIN").await?;
    let fenced = client.query(include_str!("../../sql/cleanup/bare/fence.sql"), &[]);
    let services: Result<Vec<i64>, _> = fenced.await?.iter().map(|row| row.try_get(0)).collect();
    // The services are a parameter: the planner sees their number, which it would have to guess in a join.
    let services = services?;
    for statement in [
        include_str!("../../sql/cleanup/bare/locks.sql"),
        include_str!("../../sql/cleanup/bare/volumes.sql"),
        include_str!("../../sql/cleanup/bare/snapshots.sql"),
        include_str!("../../sql/cleanup/bare/work.sql"),
    ] {
        client.execute(statement, &[&services]).await?;
    }
    Ok(client.batch_execute("COMMIT").await?)
}

async fn row_by_row(client: &Client) -> Result<()> {
    /// The claim of a row: the id of no service, so that no other cleaner considers it its own.
    const CLEANER: i64 = -1;
    client.batch_execute(include_str!("../../sql/cleanup/rows/fence.sql")).await?;
    let prepare = async |sql: &str| client.prepare(sql).await;
    let claim = prepare(include_str!("../../sql/cleanup/rows/claim.sql")).await?;
    let volume = prepare(include_str!("../../sql/cleanup/rows/volume.sql")).await?;
    let snapshot = prepare(include_str!("../../sql/cleanup/rows/snapshot.sql")).await?;
    let delete = prepare(include_str!("../../sql/cleanup/rows/delete.sql")).await?;
    let all = "SELECT token, service_id, status, resource_id FROM volguard.workers";
    for row in client.query(all, &[]).await? {
        let (token, service): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let claimed = client.execute(&claim, &[&CLEANER, &token, &service]).await?;
        ensure!(claimed == 1, "another cleaner is at work");
        let repair = match row.try_get(2)? {
            Some("creating") => Some(&volume),
            Some(_) => Some(&snapshot),
            None => None,
        };
        if let Some(repair) = repair {
            let id: Uuid = row.try_get::<_, &str>(3)?.parse()?;
            client.execute(repair, &[&id]).await?;
        }
        client.execute(&delete, &[&token]).await?;
    }
    Ok(())
}
