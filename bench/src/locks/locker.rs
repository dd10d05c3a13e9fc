//! Takes and releases one lock at a time, over its own connection.

use std::time::Duration;

use anyhow::{Result, bail};

use super::etcd::Etcd;
use super::postgres::Postgres;
use super::redis::Redis;
use crate::database::Database;
use crate::provider::Provider;
use crate::stage::Stage;

/// The polling interval of a contender that can't wait for a lock.
pub const POLL: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub enum Locker {
    Postgres(Postgres),
    Etcd(Etcd),
    Redis(Redis),
}

impl Locker {
    /// The client with this number.
    pub async fn connect(provider: Provider, stage: &Stage, database: &Database, number: usize) -> Result<Locker> {
        Ok(match provider {
            Provider::Volguard | Provider::Hand | Provider::Advisory => {
                Locker::Postgres(Postgres::connect(provider, database, number).await?)
            }
            Provider::Etcd => Locker::Etcd(Etcd::connect(stage.server(provider)?).await?),
            Provider::Redis => Locker::Redis(Redis::connect(stage.server(provider)?).await?),
            Provider::RabbitMq => bail!("RabbitMQ has no locks"),
        })
    }

    /// The process that serves it.
    pub fn server_pid(&self) -> i32 {
        match self {
            Locker::Postgres(locker) => locker.server_pid(),
            Locker::Etcd(locker) => locker.server_pid,
            Locker::Redis(locker) => locker.server_pid,
        }
    }

    /// Takes the lock, and waits as long as necessary.
    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        match self {
            Locker::Postgres(locker) => locker.acquire(key).await,
            Locker::Etcd(locker) => locker.acquire(key).await,
            Locker::Redis(locker) => locker.acquire(key).await,
        }
    }

    /// Releases the last lock. It is an error if it is not held any more.
    pub async fn release(&mut self, key: &str) -> Result<()> {
        match self {
            Locker::Postgres(locker) => locker.release(key).await,
            Locker::Etcd(locker) => locker.release().await,
            Locker::Redis(locker) => locker.release(key).await,
        }
    }
}
