//! Whoever releases, and may look after it later.

use anyhow::{Context, ensure};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use volguard::Session;
use volguard_tests::scenario::Sql;

use super::stand::Stand;
use super::{LEASE, LOCKS, LONG};
use crate::server::manager;

/// Whose releases a crash undoes.
pub enum Holder {
    Client(Session),
    /// Heartbeats, and looks after nothing.
    Forgetful {
        url: String,
        service: i64,
        heartbeats: JoinHandle<()>,
    },
}

impl Holder {
    pub async fn forgetful(stand: &Stand) -> anyhow::Result<Self> {
        let url = manager(&stand.server);
        let service = Sql::connect(&url)
            .await?
            .register("forgetful", LEASE)
            .await?;
        let heartbeats = {
            let url = url.clone();
            tokio::spawn(async move {
                loop {
                    sleep(LEASE / 3).await;
                    if let Ok(sql) = Sql::connect(&url).await {
                        let _ = sql
                            .number(&format!("SELECT volguard.heartbeat({service}) IS NULL"))
                            .await;
                    }
                }
            })
        };
        Ok(Self::Forgetful {
            url,
            service,
            heartbeats,
        })
    }

    pub fn service(&self) -> i64 {
        match self {
            Self::Client(session) => session.service_id(),
            Self::Forgetful { service, .. } => *service,
        }
    }

    /// All of them are held before the first is released: an acquire waits for the disk, and takes earlier releases with it.
    pub async fn take_and_release(&self) -> anyhow::Result<()> {
        match self {
            Self::Client(session) => {
                let mut locks = Vec::new();
                for number in 0..LOCKS {
                    let lock = session.acquire("volume", &released(number)).wait(LONG);
                    locks.push(lock.await?.context("free")?);
                }
                let half = locks.split_off(LOCKS / 2);
                for lock in half {
                    ensure!(lock.release().await?);
                }
                ensure!(session.release_all(locks).await? == LOCKS as u64 / 2);
            }
            Self::Forgetful { url, service, .. } => {
                let sql = Sql::connect(url).await?;
                let mut tokens = Vec::new();
                for number in 0..LOCKS {
                    let token = sql.acquire(*service, &released(number), LONG).await?;
                    tokens.push(token.context("free")?);
                }
                sql.run("SET synchronous_commit = off").await?;
                for token in tokens {
                    ensure!(sql.release(token).await?);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Self::Forgetful { heartbeats, .. } = self {
            heartbeats.abort();
        }
    }
}

/// The key of a lock that is to be released.
pub fn released(number: usize) -> String {
    format!("released-{number}")
}
