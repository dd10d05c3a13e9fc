//! A request that the API has accepted, as managers see it.

use anyhow::Result;
use deadpool_postgres::Pool;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::operation::Operation;

#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub operation: Operation,
    pub volume: Uuid,
    /// Of a snapshot to make.
    pub snapshot: Option<Uuid>,
    /// The volume's name, for people.
    pub name: String,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Done,
    /// A crash cut it off, and what it had begun has been undone.
    Failed,
}

impl Ending {
    fn state(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Failed => "failed",
        }
    }
}

impl Request {
    /// The oldest open requests that no living manager has claimed.
    pub async fn unclaimed(pool: &Pool, limit: usize) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM volguard_demo.requests WHERE state = 'open' AND id::text NOT IN ( \
                       SELECT resource_id FROM volguard.lock_status \
                       WHERE cluster = 'volguard_demo' AND resource_type = 'volguard_demo.request' AND alive) \
                   ORDER BY id LIMIT $1";
        let client = pool.get().await?;
        let statement = client.prepare_cached(sql).await?;
        let rows = client.query(&statement, &[&(limit as i64)]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// The request, if it is still open.
    pub async fn find_open(pool: &Pool, id: i64) -> Result<Option<Request>> {
        let sql = "SELECT r.operation, r.volume_id, r.snapshot_id, v.name FROM volguard_demo.requests AS r \
                   JOIN volguard_demo.volumes AS v ON v.id = r.volume_id WHERE r.id = $1 AND r.state = 'open'";
        let client = pool.get().await?;
        let statement = client.prepare_cached(sql).await?;
        let Some(row) = client.query_opt(&statement, &[&id]).await? else {
            return Ok(None);
        };
        Ok(Some(Request {
            id,
            operation: row.try_get::<_, &str>(0)?.parse()?,
            volume: row.try_get(1)?,
            snapshot: row.try_get(2)?,
            name: row.try_get(3)?,
        }))
    }

    /// Closes it as part of the transaction that changes what it was about.
    pub async fn close(
        &self,
        transaction: &Transaction<'_>,
        ending: Ending,
        token: i64,
        by: &str,
    ) -> Result<()> {
        let sql = "UPDATE volguard_demo.requests SET state = $2, token = $3, closed_by = $4, closed_at = clock_timestamp() \
                   WHERE id = $1 AND state = 'open'";
        let closed = transaction
            .execute(sql, &[&self.id, &ending.state(), &token, &by])
            .await?;
        anyhow::ensure!(closed == 1, "request {} is closed already", self.id);
        Ok(())
    }
}
