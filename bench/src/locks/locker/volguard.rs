//! volguard, as the Rust client calls it.

use anyhow::{Context, Result, ensure};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

/// In microseconds, as the Rust client sends it.
const WAIT: i64 = 10_000_000;
const ACQUIRE_TYPES: [Type; 8] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::UUID,
    Type::JSONB,
];

#[derive(Debug)]
pub struct Volguard {
    service: i64,
    client: Client,
    acquire: Statement,
    release: Statement,
    token: i64,
}

impl Volguard {
    /// Each client is a service: a process of its own.
    pub async fn connect(client: Client, host: &str) -> Result<Volguard> {
        Volguard::register(client, host, include_str!("../../../sql/locks/release.sql")).await
    }

    /// Releases without waiting for the disk.
    pub async fn relaxed(client: Client, host: &str) -> Result<Volguard> {
        let release = include_str!("../../../sql/locks/release_relaxed.sql");
        Volguard::register(client, host, release).await
    }

    async fn register(client: Client, host: &str, release: &str) -> Result<Volguard> {
        let register = include_str!("../../../sql/locks/register.sql");
        let service = client.query_one(register, &[&host]).await?.try_get(0)?;
        let acquire = include_str!("../../../sql/locks/acquire.sql");
        let acquire = client.prepare_typed(acquire, &ACQUIRE_TYPES).await?;
        let release = client.prepare_typed(release, &[Type::INT8]).await?;
        Ok(Volguard {
            service,
            client,
            acquire,
            release,
            token: 0,
        })
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        let (nothing, no_details) = (None::<&str>, None::<serde_json::Value>);
        let row = self
            .client
            .query_one(
                &self.acquire,
                &[
                    &self.service,
                    &"volume",
                    &key,
                    &"",
                    &nothing,
                    &WAIT,
                    &Uuid::new_v4(),
                    &no_details,
                ],
            )
            .await?;
        let token: Option<i64> = row.try_get(0)?;
        self.token = token.context("not free in time")?;
        Ok(())
    }

    pub async fn release(&mut self) -> Result<()> {
        let row = self.client.query_one(&self.release, &[&self.token]).await?;
        ensure!(row.try_get::<_, bool>(0)?, "volguard: the lock was lost");
        Ok(())
    }
}
