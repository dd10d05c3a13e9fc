//! A client that takes and gives back one lock at a time, over a connection of its own.

mod advisory;
mod etcd;
mod hand;
mod redis;
mod volguard;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio_postgres::Client;

use self::advisory::Advisory;
use self::etcd::Etcd;
use self::hand::Hand;
use self::redis::Redis;
use self::volguard::Volguard;
use super::contender::Contender;
use crate::servers;

/// How soon those who can't wait for a lock ask again.
const POLL: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub enum Locker {
    Volguard(Volguard),
    Hand(Hand),
    Advisory(Advisory),
    Etcd(Etcd),
    Redis(Redis),
}

impl Locker {
    /// The client with this number, of a contender that is in Postgres.
    pub async fn in_postgres(
        contender: Contender,
        client: Client,
        number: usize,
    ) -> Result<Locker> {
        Ok(match contender {
            Contender::Volguard => {
                let host = format!("host-{number}");
                Locker::Volguard(Volguard::connect(client, &host).await?)
            }
            Contender::Relaxed => {
                let host = format!("relaxed-host-{number}");
                Locker::Volguard(Volguard::relaxed(client, &host).await?)
            }
            Contender::Hand => Locker::Hand(Hand::connect(client, number).await?),
            Contender::HandRelaxed => Locker::Hand(Hand::relaxed(client, number).await?),
            Contender::Advisory => Locker::Advisory(Advisory::connect(client).await?),
            Contender::Etcd | Contender::Redis => {
                bail!("{} has a server of its own", contender.name())
            }
        })
    }

    pub async fn in_etcd(server: &servers::Etcd) -> Result<Locker> {
        Ok(Locker::Etcd(Etcd::connect(server).await?))
    }

    pub async fn in_redis(server: &servers::Redis) -> Result<Locker> {
        Ok(Locker::Redis(Redis::connect(server).await?))
    }

    /// Takes the lock, however long that lasts.
    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        match self {
            Locker::Volguard(locker) => locker.acquire(key).await,
            Locker::Hand(locker) => locker.acquire(key).await,
            Locker::Advisory(locker) => locker.acquire(key).await,
            Locker::Etcd(locker) => locker.acquire(key).await,
            Locker::Redis(locker) => locker.acquire(key).await,
        }
    }

    /// Gives the lock back that it took last. An error if it did not hold it any more.
    pub async fn release(&mut self, key: &str) -> Result<()> {
        match self {
            Locker::Volguard(locker) => locker.release().await,
            Locker::Hand(locker) => locker.release(key).await,
            Locker::Advisory(locker) => locker.release(key).await,
            Locker::Etcd(locker) => locker.release().await,
            Locker::Redis(locker) => locker.release(key).await,
        }
    }
}
