//! The server and the volumes that the contenders work on.

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
    pub async fn set(fsync: bool) -> Result<Stage> {
        // Nor is a vacuum to come in the middle of one contender's turn.
        let settings = |server: PrivateServerBuilder| server.setting("autovacuum", "off");
        let server = Postgres::start(fsync, settings)?;
        let client = server.connect().await?;
        let schema = include_str!("../../sql/work/schema.sql");
        client.batch_execute(schema).await?;
        client
            .batch_execute("VACUUM (ANALYZE, FREEZE) volumes")
            .await?;
        let rows = client.query("SELECT id FROM volumes ORDER BY id", &[]);
        let rows = rows.await?;
        let volumes = rows.iter().map(|row| row.try_get(0));
        let volumes = volumes.collect::<Result<_, _>>()?;
        Ok(Stage { server, volumes })
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
