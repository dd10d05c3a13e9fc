//! The demo's schema in the database, and what volguard has to know of it.

use anyhow::{Context, Result, bail};
use volguard::{Cleanup, Lock, Session, Volguard, column};

use crate::operation::{Operation, RECOVERING};

/// The cluster that the managers share: apart from whatever else uses volguard in this database.
pub const CLUSTER: &str = "volguard_demo";

pub const VOLUMES: &str = "volguard_demo.volumes";
pub const SNAPSHOTS: &str = "volguard_demo.snapshots";

/// Types of resources, by volguard's book.
pub const VOLUME: &str = "volguard_demo.volume";
pub const SNAPSHOT: &str = "volguard_demo.snapshot";
pub const REQUEST: &str = "volguard_demo.request";

/// The channels of the table `requests`.
pub const OPENED: &str = "volguard_demo_opened";
pub const CLOSED: &str = "volguard_demo_closed";

const TABLES: &str = include_str!("schema.sql");
const DROP: &str = "SET client_min_messages = warning; SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS volguard_demo CASCADE";

/// The schema, made for one run and held by a lock, so that a second demo in the same database keeps away.
#[derive(Debug)]
pub struct Schema {
    volguard: Volguard,
    lock: Lock,
}

impl Schema {
    pub async fn make(volguard: &Volguard, session: &Session) -> Result<Schema> {
        let Some(lock) = session.acquire("volguard_demo.schema", "the").await? else {
            bail!("another demo is using this database");
        };
        let schema = Schema {
            volguard: volguard.clone(),
            lock,
        };
        schema.batch(&format!("{DROP}; {TABLES}")).await?;
        set_rules(volguard).await?;
        // What a demo left that was killed itself: its volumes are gone, so its work is forgotten.
        volguard.cleanup(Cleanup::all().cluster(CLUSTER)).await?;
        Ok(schema)
    }

    pub async fn drop(self) -> Result<()> {
        self.batch(DROP).await?;
        self.lock.release().await?;
        Ok(())
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        let client = self.volguard.pool().get().await?;
        client
            .batch_execute(sql)
            .await
            .context("the schema volguard_demo")
    }
}

/// What a crash makes of a row. The volume's files are another matter: `recovering` is for the survivor who takes up
/// the request to put right, while everybody else keeps off.
async fn set_rules(volguard: &Volguard) -> Result<()> {
    volguard.track_resource(VOLUME, VOLUMES).await?;
    volguard.track_resource(SNAPSHOT, SNAPSHOTS).await?;
    for operation in Operation::REQUESTS {
        let kind = match operation {
            Operation::Snapshot => SNAPSHOT,
            _ => VOLUME,
        };
        let status = operation.working_status();
        let rule = volguard
            .on_crash(kind, status)
            .set("crashes", column("crashes") + 1);
        let rule = match operation {
            repeatable if repeatable.is_repeatable() => rule.set("status", status),
            Operation::Create => rule
                .set("status", RECOVERING)
                .set("previous_status", "error"),
            Operation::Extend => rule.set("status", RECOVERING).set("new_size", None::<i32>),
            Operation::Attach => rule
                .set("status", RECOVERING)
                .set("instance", None::<String>),
            _ => rule.set("status", RECOVERING),
        };
        rule.await?;
    }
    // A crash during the repair leaves it to the next one.
    for kind in [VOLUME, SNAPSHOT] {
        volguard
            .on_crash(kind, RECOVERING)
            .set("crashes", column("crashes") + 1)
            .await?;
    }
    Ok(())
}
