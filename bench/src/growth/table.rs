//! One of volguard's tables.

use anyhow::Result;
use tokio_postgres::Client;

/// What there is of it, and how it was used so far.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    /// In bytes.
    pub size: i64,
    pub index_size: i64,
    pub sequential_scans: i64,
    pub dead_rows: i64,
    pub vacuums: i64,
}

impl Table {
    /// `workers` and `services`, in this order.
    pub async fn all(superuser: &Client) -> Result<Vec<Table>> {
        let sql = include_str!("../../sql/growth/tables.sql");
        let rows = superuser.query(sql, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Table {
                    name: row.try_get(0)?,
                    size: row.try_get(1)?,
                    index_size: row.try_get(2)?,
                    sequential_scans: row.try_get(3)?,
                    dead_rows: row.try_get(4)?,
                    vacuums: row.try_get(5)?,
                })
            })
            .collect()
    }
}
