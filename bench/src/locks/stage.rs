//! The servers of those that take part.

use anyhow::{Context, Result};
use tokio_postgres::Client;
use volguard_tests::PrivateServerBuilder;

use super::contender::Contender;
use crate::servers::{Etcd, Postgres, Redis};

const DATABASE: &str = "volguard";

#[derive(Debug)]
pub struct Stage {
    postgres: Postgres,
    superuser: Client,
    etcd: Option<Etcd>,
    redis: Option<Redis>,
}

impl Stage {
    pub async fn set(fsync: bool, contenders: &[Contender]) -> Result<Stage> {
        // Between the turns instead, so that each begins with the same, and none is disturbed.
        let settings = |server: PrivateServerBuilder| server.setting("autovacuum", "off");
        let postgres = Postgres::start(fsync, settings)?;
        postgres.create_role().await?;
        let superuser = postgres.connect().await?;
        superuser
            .batch_execute(include_str!("../../sql/locks/schema.sql"))
            .await?;
        let takes_part = |one| contenders.contains(&one);
        Ok(Stage {
            postgres,
            superuser,
            etcd: takes_part(Contender::Etcd).then(Etcd::start).transpose()?,
            redis: takes_part(Contender::Redis)
                .then(Redis::start)
                .transpose()?,
        })
    }

    /// A connection to Postgres, as a role without privileges on volguard's tables.
    pub async fn connect(&self) -> Result<Client> {
        self.postgres.connect_as_role(DATABASE).await
    }

    pub fn etcd(&self) -> Result<&Etcd> {
        self.etcd.as_ref().context("etcd takes no part")
    }

    pub fn redis(&self) -> Result<&Redis> {
        self.redis.as_ref().context("Redis takes no part")
    }

    /// Removes what the turns before left dead in Postgres' tables, and tells the planner what is in them.
    pub async fn tidy(&self) -> Result<()> {
        // One by one: it runs in no transaction, and a text of several statements is one.
        for table in ["volguard.workers", "locks"] {
            let vacuum = format!("VACUUM (ANALYZE) {table}");
            self.superuser.batch_execute(&vacuum).await?;
        }
        Ok(())
    }

    /// The servers and their settings, one a line.
    pub async fn describe(&self) -> Result<String> {
        let mut lines = vec![self.postgres.describe().await?];
        lines.extend(self.etcd.as_ref().map(Etcd::describe));
        lines.extend(self.redis.as_ref().map(Redis::describe));
        Ok(lines.join("\n"))
    }
}
