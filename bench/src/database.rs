//! One of the stage's databases, with the objects that a part needs.

use anyhow::Result;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::connection::connect;
use crate::stage::MOST_CLIENTS;

/// A role that owns nothing of volguard, like programs in production.
pub const ROLE: &str = "bench";

#[derive(Debug)]
pub struct Database {
    pub superuser: Client,
    superuser_url: String,
    role_url: String,
}

impl Database {
    /// Grants the role the use of volguard, and runs the part's schema.
    pub async fn prepare(superuser_url: String, role_url: String, schema: &str) -> Result<Database> {
        let superuser = connect(&superuser_url).await?;
        let grant = format!("SELECT volguard.grant_usage('{ROLE}')");
        superuser.batch_execute(&grant).await?;
        superuser.batch_execute(schema).await?;
        Ok(Database { superuser, superuser_url, role_url })
    }

    /// Where the role connects to.
    pub fn role_url(&self) -> &str {
        &self.role_url
    }

    /// One more connection of the role.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.role_url).await
    }

    pub async fn connect_as_superuser(&self) -> Result<Client> {
        connect(&self.superuser_url).await
    }

    /// A connection of the role and the id of a service, whose lease is longer than any run.
    pub async fn connect_service(&self, host: &str) -> Result<(Client, i64)> {
        let client = self.connect().await?;
        let sql = include_str!("../sql/register.sql");
        let service_id = client.query_one(sql, &[&host]).await?.try_get(0)?;
        Ok((client, service_id))
    }

    /// Registers this many services of the role.
    pub async fn register_services(&self, count: u32) -> Result<Vec<i64>> {
        let client = self.connect().await?;
        let sql = include_str!("../sql/services.sql");
        let rows = client.query(sql, &[&i32::try_from(count)?]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Fills `workers` with this many rows of these services.
    pub async fn fill_workers(&self, rows: u32, services: &[i64]) -> Result<()> {
        let (sql, services) = (include_str!("../sql/workers.sql"), services.to_vec());
        let with: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&i32::try_from(rows)?, &services];
        self.superuser.execute(sql, &with).await?;
        Ok(())
    }

    /// Removes the dead rows of earlier turns, and updates the planner's statistics.
    pub async fn vacuum(&self, tables: &str) -> Result<()> {
        let vacuum = format!("VACUUM (ANALYZE) {tables}");
        Ok(self.superuser.batch_execute(&vacuum).await?)
    }

    /// The rows of a table `volumes`, split evenly between the clients: the test measures cost, not contention.
    pub async fn volumes(&self) -> Result<Vec<Vec<Uuid>>> {
        let sql = "SELECT id FROM volumes ORDER BY id";
        let rows = self.superuser.query(sql, &[]).await?;
        let ids: Result<Vec<Uuid>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let ids = ids?;
        let share = ids.len() / MOST_CLIENTS;
        Ok(ids.chunks_exact(share).map(<[Uuid]>::to_vec).collect())
    }
}
