//! The demo's tables, and what volguard has to know of them.
//!
//! A volume at rest is `available`, `error` or `deleted`. The API makes it `queued`; a manager takes it up as
//! `creating`, `extending` and so on, and brings it back to rest. A manager's crash makes it `queued` once more if
//! the operation may be repeated, otherwise `damaged`, which another manager takes up as `repairing`.

use anyhow::{Context, Result};
use volguard::serde_json::{json, value::to_raw_value};
use volguard::{Cleanup, Volguard, sql};

use crate::operation::Operation;

/// The cluster of the managers: they clean up after each other, and after no other user of this database.
pub const CLUSTER: &str = "volguard_demo";
/// The type of the resources, by volguard's book.
pub const VOLUME: &str = "volguard_demo.volume";
pub const VOLUMES: &str = "volguard_demo.volumes";

/// What waits for a manager.
pub const QUEUED: &str = "queued";
pub const DAMAGED: &str = "damaged";
/// What a manager makes of a damaged volume while it works on it.
pub const REPAIRING: &str = "repairing";

pub async fn create(volguard: &Volguard) -> Result<()> {
    let client = volguard.connection().await?;
    let created = client.batch_execute(include_str!("schema.sql")).await;
    created.context("the schema volguard_demo (drop it, if no other demo is running)")?;
    set_crash_rules(volguard).await?;
    // What a demo has left that was killed itself.
    let mut ours = Cleanup::default();
    ours.cluster = Some(CLUSTER.to_owned());
    volguard.cleanup(&ours).await?;
    Ok(())
}

async fn set_crash_rules(volguard: &Volguard) -> Result<()> {
    let connection = volguard.connection().await?;
    sql::track_resource(&connection, VOLUME, VOLUMES, "name", "status").await?;
    let operations = Operation::ALL.map(|operation| match operation {
        Operation::Delete => (operation.status(), QUEUED),
        _ => (operation.status(), DAMAGED),
    });
    for (crashed, status) in operations.into_iter().chain([(REPAIRING, DAMAGED)]) {
        let changes = json!({"status": status, "crashes": {"add": [{"column": "crashes"}, 1]}});
        sql::on_crash(&connection, VOLUME, crashed, Some(&*to_raw_value(&changes)?)).await?;
    }
    Ok(())
}

pub async fn drop(volguard: &Volguard) -> Result<()> {
    let client = volguard.connection().await?;
    let sql = "SET lock_timeout = '10s'; DROP SCHEMA volguard_demo CASCADE";
    Ok(client.batch_execute(sql).await?)
}
