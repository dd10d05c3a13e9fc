//! A volume's row.

use anyhow::Result;
use serde::Deserialize;
use volguard::Volguard;

use crate::operation::Operation;
use crate::schema::{DAMAGED, QUEUED};

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

    /// Those that wait for a manager, in any order, so that managers seldom try the same one.
    pub async fn waiting(volguard: &Volguard) -> Result<Vec<Volume>> {
        let waiting = format!("status IN ('{QUEUED}', '{DAMAGED}') ORDER BY random()");
        Volume::select(volguard, &waiting).await
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
