//! Who cleans up.

use anyhow::{Result, ensure};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// `volguard.cleanup`, as a role with `grant_usage` only.
    Ours,
    /// The same DELETEs and UPDATEs, in one transaction, and no more: nobody is kept from acquiring meanwhile, nobody is woken, and
    /// one resource that fails stops everything.
    Bare,
    /// As Cinder does it: reads all rows, and for each of them claims it by compare-and-swap, updates its resource and deletes
    /// it, in statements and commits of their own.
    Rows,
}

impl Contender {
    pub const ALL: [Contender; 3] = [Contender::Ours, Contender::Bare, Contender::Rows];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Ours => "cleanup",
            Contender::Bare => "bare SQL",
            Contender::Rows => "row by row",
        }
    }

    /// How many of so many rows it is given: what takes a hundred times as long needs no more for a figure a row.
    pub fn share(self, rows: u32) -> u32 {
        const TENTH_OF_FOURS: u32 = 40;
        match self {
            Contender::Ours | Contender::Bare => rows,
            Contender::Rows => (rows / TENTH_OF_FOURS).max(1) * 4,
        }
    }

    pub async fn clean(self, client: &Client) -> Result<()> {
        match self {
            Contender::Ours => {
                let sql = "SELECT service_id FROM volguard.cleanup(cluster => 'bench') WHERE awaiting = 0";
                client.query(sql, &[]).await?;
                Ok(())
            }
            Contender::Bare => bare(client).await,
            Contender::Rows => row_by_row(client).await,
        }
    }
}

async fn bare(client: &Client) -> Result<()> {
    client.batch_execute("BEGIN").await?;
    let fence = include_str!("../../sql/cleanup/bare/fence.sql");
    let fenced = client.query(fence, &[]).await?;
    let services: Vec<i64> = fenced
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    // The services as a parameter: the planner sees how many they are, where in a join it would guess.
    for statement in [
        include_str!("../../sql/cleanup/bare/locks.sql"),
        include_str!("../../sql/cleanup/bare/volumes.sql"),
        include_str!("../../sql/cleanup/bare/snapshots.sql"),
        include_str!("../../sql/cleanup/bare/work.sql"),
    ] {
        client.execute(statement, &[&services]).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Who has claimed a row. There is no such service, so that nobody else would take it for his own.
const CLEANER: i64 = -1;

async fn row_by_row(client: &Client) -> Result<()> {
    client
        .execute(
            "UPDATE volguard.services SET fenced_at = clock_timestamp() WHERE cluster = 'bench'",
            &[],
        )
        .await?;
    let claim = "UPDATE volguard.workers SET service_id = $1, updated_at = clock_timestamp() WHERE token = $2 AND service_id = $3";
    let claim = client.prepare(claim).await?;
    let types = [Type::UUID];
    let volume = "UPDATE volumes SET status = 'error', previous_status = status, repairs = repairs + 1 WHERE id = $1 AND status = 'creating'";
    let volume = client.prepare_typed(volume, &types).await?;
    let snapshot = "UPDATE snapshots SET status = 'error_deleting', repairs = repairs + 1 WHERE id = $1 AND status = 'deleting'";
    let snapshot = client.prepare_typed(snapshot, &types).await?;
    let delete = "DELETE FROM volguard.workers WHERE token = $1";
    let delete = client.prepare(delete).await?;
    let all = "SELECT token, service_id, status, resource_id FROM volguard.workers";
    for row in client.query(all, &[]).await? {
        let (token, service): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let claimed = client
            .execute(&claim, &[&CLEANER, &token, &service])
            .await?;
        ensure!(claimed == 1, "somebody else cleans up as well");
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
