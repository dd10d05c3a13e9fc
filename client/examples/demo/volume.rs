//! A volume's row.

use anyhow::{Context, Result};
use serde::Deserialize;
use volguard::Volguard;

use crate::operation::Operation;
use crate::schema::DAMAGED;

#[derive(Clone, Debug, Deserialize)]
pub struct Volume {
    pub name: String,
    pub status: String,
    pub task: Operation,
    pub size: u64,
    pub new_size: Option<u64>,
    pub snapshots: u64,
    pub token: Option<i64>,
}

impl Volume {
    pub async fn all(volguard: &Volguard) -> Result<Vec<Volume>> {
        Volume::select(volguard, "true").await
    }

    pub async fn named(volguard: &Volguard, name: &str) -> Result<Volume> {
        let mut found = Volume::select(volguard, &format!("name = '{name}'")).await?;
        found.pop().with_context(|| format!("no volume {name}"))
    }

    /// Those that something is to be done to.
    pub async fn busy(volguard: &Volguard) -> Result<Vec<Volume>> {
        Volume::select(volguard, &format!("status NOT IN ('available', 'error', 'deleted', '{DAMAGED}')")).await
    }

    async fn select(volguard: &Volguard, condition: &str) -> Result<Vec<Volume>> {
        let sql = format!("SELECT to_jsonb(v) FROM volguard_demo.volumes AS v WHERE {condition}");
        let client = volguard.connection().await?;
        let rows = client.query(&sql, &[]).await?.into_iter();
        rows.map(|row| Ok(serde_json::from_value(row.try_get(0)?)?)).collect()
    }

    /// What a volume is when no operation is under way.
    pub fn at_rest(&self) -> &'static str {
        if self.size == 0 { "error" } else { "available" }
    }
}
