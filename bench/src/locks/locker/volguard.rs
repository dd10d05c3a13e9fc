//! volguard, as the Rust client calls it.

use std::error::Error;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

const WAIT: Interval = Interval {
    microseconds: 10_000_000,
};
const ACQUIRE_TYPES: [Type; 8] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INTERVAL,
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

/// An `interval`, as the Rust client sends it.
#[derive(Debug)]
struct Interval {
    microseconds: i64,
}

impl ToSql for Interval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let (days, months) = (0, 0);
        out.put_i64(self.microseconds);
        out.put_i32(days);
        out.put_i32(months);
        Ok(IsNull::No)
    }

    accepts!(INTERVAL);
    to_sql_checked!();
}
