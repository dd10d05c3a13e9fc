//! Postgres' advisory locks: they live in memory, and end with the connection.

use anyhow::{Result, ensure};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

#[derive(Debug)]
pub struct Advisory {
    client: Client,
    lock: Statement,
    unlock: Statement,
}

impl Advisory {
    pub async fn connect(client: Client) -> Result<Advisory> {
        let prepare = async |function: &str| {
            let sql = format!("SELECT {function}(pg_catalog.hashtextextended($1, 0))");
            client.prepare_typed(&sql, &[Type::TEXT]).await
        };
        let lock = prepare("pg_catalog.pg_advisory_lock").await?;
        let unlock = prepare("pg_catalog.pg_advisory_unlock").await?;
        Ok(Advisory {
            client,
            lock,
            unlock,
        })
    }

    pub async fn acquire(&mut self, key: &str) -> Result<()> {
        self.client.execute(&self.lock, &[&key]).await?;
        Ok(())
    }

    pub async fn release(&mut self, key: &str) -> Result<()> {
        let row = self.client.query_one(&self.unlock, &[&key]).await?;
        ensure!(row.try_get::<_, bool>(0)?, "advisory: the lock was lost");
        Ok(())
    }
}
