//! What the database says in the end.

use std::collections::HashMap;

use anyhow::Result;
use deadpool_postgres::Object;
use tokio_postgres::Row;
use uuid::Uuid;
use volguard::Volguard;

use crate::operation::Operation;
use crate::schema::CLUSTER;

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub volumes: HashMap<Uuid, Volume>,
    pub snapshots: HashMap<Uuid, Snapshot>,
    pub requests: Vec<Request>,
    /// When services were fenced, in microseconds of the database's clock.
    pub fenced_at: HashMap<i64, i64>,
    /// What is still locked, by its name.
    pub locks: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Volume {
    pub name: String,
    pub status: String,
    pub size: u64,
    pub attach_status: String,
    pub instance: Option<String>,
    pub last_token: Option<i64>,
    pub snapshots: u64,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub volume: Uuid,
    pub status: String,
    pub size: u64,
    pub last_token: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub operation: Operation,
    pub volume: Uuid,
    pub state: String,
    pub token: Option<i64>,
}

impl Ledger {
    pub async fn read(volguard: &Volguard) -> Result<Ledger> {
        let client = volguard.pool().get().await?;
        Ok(Ledger {
            volumes: volumes(&client).await?.into_iter().collect(),
            snapshots: snapshots(&client).await?.into_iter().collect(),
            requests: requests(&client).await?,
            fenced_at: fenced(&client).await?.into_iter().collect(),
            locks: locks(&client).await?,
        })
    }

    /// Every request of a kind that ended in a state.
    pub fn count(&self, operation: Operation, state: &str) -> usize {
        self.requests
            .iter()
            .filter(|request| request.operation == operation && request.state == state)
            .count()
    }
}

async fn volumes(client: &Object) -> Result<Vec<(Uuid, Volume)>> {
    let sql = "SELECT id, name, status, size, attach_status, instance, last_token, snapshots FROM volguard_demo.volumes";
    let volume = |row: &Row| {
        Ok((
            row.try_get(0)?,
            Volume {
                name: row.try_get(1)?,
                status: row.try_get(2)?,
                size: unsigned(row, 3)?,
                attach_status: row.try_get(4)?,
                instance: row.try_get(5)?,
                last_token: row.try_get(6)?,
                snapshots: unsigned(row, 7)?,
            },
        ))
    };
    client.query(sql, &[]).await?.iter().map(volume).collect()
}

async fn snapshots(client: &Object) -> Result<Vec<(Uuid, Snapshot)>> {
    let sql = "SELECT id, volume_id, status, size, last_token FROM volguard_demo.snapshots";
    let snapshot = |row: &Row| {
        Ok((
            row.try_get(0)?,
            Snapshot {
                volume: row.try_get(1)?,
                status: row.try_get(2)?,
                size: unsigned(row, 3)?,
                last_token: row.try_get(4)?,
            },
        ))
    };
    client.query(sql, &[]).await?.iter().map(snapshot).collect()
}

async fn requests(client: &Object) -> Result<Vec<Request>> {
    let sql =
        "SELECT id, operation, volume_id, state, token FROM volguard_demo.requests ORDER BY id";
    let request = |row: &Row| {
        Ok(Request {
            id: row.try_get(0)?,
            operation: row.try_get::<_, &str>(1)?.parse()?,
            volume: row.try_get(2)?,
            state: row.try_get(3)?,
            token: row.try_get(4)?,
        })
    };
    client.query(sql, &[]).await?.iter().map(request).collect()
}

async fn fenced(client: &Object) -> Result<Vec<(i64, i64)>> {
    let sql = "SELECT service_id, (extract(epoch FROM fenced_at) * 1000000)::bigint FROM volguard.service_status \
               WHERE cluster = $1 AND fenced_at IS NOT NULL";
    let fenced = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    client
        .query(sql, &[&CLUSTER])
        .await?
        .iter()
        .map(fenced)
        .collect()
}

/// But for the director's own.
async fn locks(client: &Object) -> Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', resource_type, resource_id, lock_name, status) FROM volguard.lock_status \
               WHERE cluster = $1 AND resource_type <> 'volguard_demo.schema'";
    let name = |row: &Row| Ok(row.try_get(0)?);
    client
        .query(sql, &[&CLUSTER])
        .await?
        .iter()
        .map(name)
        .collect()
}

fn unsigned(row: &Row, column: usize) -> Result<u64> {
    Ok(row.try_get::<_, i32>(column)?.unsigned_abs().into())
}
