//! The locks that are in Postgres: volguard's, those written by hand, and advisory locks.

use std::error::Error;

use anyhow::{Result, bail, ensure};
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use uuid::Uuid;

use super::locker::POLL;
use crate::connection::Connection;
use crate::database::Database;
use crate::provider::Provider;

const WAIT: Interval = Interval { microseconds: 10_000_000 };

#[derive(Debug)]
pub struct Postgres {
    provider: Provider,
    connection: Connection,
    service_id: i64,
    /// The token of the held lock.
    token: i64,
}

impl Postgres {
    /// Each client is a service: a process of its own.
    pub async fn connect(provider: Provider, database: &Database, number: usize) -> Result<Postgres> {
        let statements = match provider {
            Provider::Volguard => {
                [include_str!("../../sql/locks/acquire.sql"), include_str!("../../sql/locks/release.sql")]
            }
            Provider::Hand => [include_str!("../../sql/locks/insert.sql"), include_str!("../../sql/locks/delete.sql")],
            Provider::Advisory => [
                "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended($1, 0))",
                "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended($1, 0))",
            ],
            Provider::Etcd | Provider::Redis | Provider::RabbitMq => bail!("not in Postgres"),
        };
        let host = format!("{}-{number}", provider.name());
        let (client, service_id) = database.connect_service(&host).await?;
        Ok(Postgres { provider, connection: Connection::prepare(client, &statements).await?, service_id, token: 0 })
    }

    pub fn server_pid(&self) -> i32 {
        self.connection.server_pid()
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        let service_id = &self.service_id;
        match self.provider {
            Provider::Volguard => {
                let (kind, lock_name, request) = ("volume", "", Uuid::new_v4());
                let (status, details) = (None::<&str>, None::<serde_json::Value>);
                let with: [&(dyn ToSql + Sync); 8] =
                    [service_id, &kind, &key, &lock_name, &status, &WAIT, &request, &details];
                self.token = self.connection.value(0, &with).await?;
            }
            Provider::Hand => loop {
                if let Some(row) = self.connection.row(0, &[&key, service_id]).await? {
                    self.token = row.try_get(0)?;
                    break;
                }
                tokio::time::sleep(POLL).await;
            },
            _ => {
                self.connection.execute(0, &[&key]).await?;
            }
        }
        Ok(())
    }

    pub async fn release(&mut self, key: &str) -> Result<()> {
        let held = match self.provider {
            Provider::Volguard => self.connection.value(1, &[&self.token]).await?,
            Provider::Hand => self.connection.execute(1, &[&key, &self.token]).await? == 1,
            _ => self.connection.value(1, &[&key]).await?,
        };
        ensure!(held, "the lock was lost");
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
