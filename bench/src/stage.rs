//! A server with volumes that clients work on, each on its own.

use anyhow::Result;
use tokio_postgres::Client;
use uuid::Uuid;
use volguard_tests::PrivateServerBuilder;

use crate::servers::Postgres;

/// The volumes are split evenly between so many.
pub const MOST_CLIENTS: usize = 16;

#[derive(Debug)]
pub struct Stage {
    server: Postgres,
    volumes: Vec<Uuid>,
}

impl Stage {
    /// By a schema that has a table of volumes, and all of its tables.
    pub async fn set(fsync: bool, schema: &str, tables: &[&str]) -> Result<Stage> {
        // Nor is a vacuum to come in the middle of one contender's turn.
        let settings = |server: PrivateServerBuilder| server.setting("autovacuum", "off");
        let server = Postgres::start(fsync, settings)?;
        let mut stage = Stage {
            server,
            volumes: Vec::new(),
        };
        let client = stage.connect().await?;
        client.batch_execute(schema).await?;
        // One by one: it runs in no transaction, and a text of several statements is one.
        for table in tables {
            let vacuum = format!("VACUUM (ANALYZE, FREEZE) {table}");
            client.batch_execute(&vacuum).await?;
        }
        let volumes = client.query("SELECT id FROM volumes ORDER BY id", &[]);
        for row in volumes.await? {
            stage.volumes.push(row.try_get(0)?);
        }
        Ok(stage)
    }

    pub async fn connect(&self) -> Result<Client> {
        self.server.connect().await
    }

    /// The volumes of one of the clients, which no other touches: the subject is the cost, not contention.
    pub fn volumes_of(&self, client: usize) -> &[Uuid] {
        let share = self.volumes.len() / MOST_CLIENTS;
        &self.volumes[client * share..][..share]
    }

    pub async fn describe(&self) -> Result<String> {
        self.server.describe().await
    }
}
