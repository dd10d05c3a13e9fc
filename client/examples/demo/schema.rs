//! The demo's tables, and what volguard has to know of them.
//!
//! A volume at rest is `available`, `error` or `deleted`. The API makes it `creating`, `extending` and so on, and
//! submits the work in the same commit; a manager takes the work and brings the volume back to rest. If the manager
//! dies in the middle, the work goes back into the queue if it may be repeated. Otherwise its crash rule makes the
//! volume `damaged`, and the API submits its repair.

use anyhow::{Context, Result};
use volguard::serde_json::{json, value::to_raw_value};
use volguard::{Session, Volguard, sql};

use crate::operation::Operation;

/// The cluster of the managers: they clean up after each other, and after no other user of this database.
pub const CLUSTER: &str = "volguard_demo";
/// The type of the resources, by volguard's book.
pub const VOLUME: &str = "volguard_demo.volume";
pub const VOLUMES: &str = "volguard_demo.volumes";

/// What a crash rule makes of a volume.
pub const DAMAGED: &str = "damaged";
/// How often work that may be repeated is retried.
const RETRIES: i32 = 5;

/// Returns a session in the cluster: there is one as long as a service is in it, and users may be faster than managers.
pub async fn create(volguard: &Volguard) -> Result<Session> {
    let client = volguard.connection().await?;
    let created = client.batch_execute(include_str!("schema.sql")).await;
    created.context("the schema volguard_demo (drop it, if no other demo is running)")?;
    // What a demo has left that was killed itself.
    client.batch_execute(include_str!("forget.sql")).await.context("what an earlier demo has left")?;
    set_crash_rules(volguard).await?;
    Ok(volguard.register("director", "director").cluster(CLUSTER).await?)
}

async fn set_crash_rules(volguard: &Volguard) -> Result<()> {
    let connection = volguard.connection().await?;
    sql::track_resource(&connection, VOLUME, VOLUMES, "name", "status").await?;
    let changes = json!({"status": DAMAGED, "crashes": {"add": [{"column": "crashes"}, 1]}});
    let changes = to_raw_value(&changes)?;
    for operation in Operation::ALL {
        let retry = if operation.is_repeatable() { RETRIES } else { 0 };
        sql::on_crash(&connection, VOLUME, operation.status(), Some(&*changes), retry).await?;
    }
    Ok(())
}

/// Nothing of the demo stays, and nothing that another one would find: work that waits, locks that were held when their
/// manager was killed.
pub async fn drop(volguard: &Volguard) -> Result<()> {
    let client = volguard.connection().await?;
    client.batch_execute(include_str!("forget.sql")).await?;
    Ok(client.batch_execute("SET lock_timeout = '10s'; DROP SCHEMA volguard_demo CASCADE").await?)
}
