//! SQL written by hand.

use anyhow::{Result, ensure};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::POLL;
#[derive(Debug)]
pub struct Hand {
    service: i64,
    client: Client,
    insert: Statement,
    delete: Statement,
    token: i64,
}

impl Hand {
    pub async fn connect(client: Client, number: usize) -> Result<Hand> {
        Hand::prepare(
            client,
            number,
            include_str!("../../../sql/locks/delete.sql"),
        )
        .await
    }

    /// Deletes without waiting for the disk.
    pub async fn relaxed(client: Client, number: usize) -> Result<Hand> {
        let delete = include_str!("../../../sql/locks/delete_relaxed.sql");
        Hand::prepare(client, number, delete).await
    }

    async fn prepare(client: Client, number: usize, delete: &str) -> Result<Hand> {
        let types = [Type::TEXT, Type::INT8];
        let insert = include_str!("../../../sql/locks/insert.sql");
        let insert = client.prepare_typed(insert, &types).await?;
        let delete = client.prepare_typed(delete, &types).await?;
        Ok(Hand {
            service: i64::try_from(number)?,
            client,
            insert,
            delete,
            token: 0,
        })
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        loop {
            let row = self
                .client
                .query_opt(&self.insert, &[&key, &self.service])
                .await?;
            if let Some(row) = row {
                self.token = row.try_get(0)?;
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn release(&mut self, key: &str) -> Result<()> {
        let deleted = self
            .client
            .execute(&self.delete, &[&key, &self.token])
            .await?;
        ensure!(deleted == 1, "by hand: the lock was lost");
        Ok(())
    }
}
