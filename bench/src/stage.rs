//! The server and the rows that a benchmark runs on.

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;
use volguard_tests::{PrivateServer, Profile};

/// The rows are split evenly between so many.
pub const MOST_CLIENTS: usize = 16;

#[derive(Debug)]
pub struct Stage {
    server: PrivateServer,
    volumes: Vec<Uuid>,
}

impl Stage {
    /// Builds the extension unless `VOLGUARD_PACKAGE` names a build of it, and starts a server with it.
    pub async fn set(fsync: bool) -> Result<Stage> {
        let server = PrivateServer::builder()
            .profile(Profile::Release)
            .durable(fsync)
            // Neither of them is to come in the middle of one contender's turn.
            .setting("autovacuum", "off")
            .setting("checkpoint_timeout", "1h")
            .setting("max_wal_size", "16GB")
            .start()?;
        let mut stage = Stage {
            server,
            volumes: Vec::new(),
        };
        let client = stage.connect().await?;
        client
            .batch_execute(include_str!("../sql/schema.sql"))
            .await?;
        // One by one: it runs in no transaction, and a text of several statements is one.
        for table in ["volumes", "snapshots"] {
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
        let (client, connection) = tokio_postgres::connect(&self.server.url(), NoTls).await?;
        // Ends with the client; an error that breaks it is the next statement's too.
        tokio::spawn(connection);
        Ok(client)
    }

    /// The volumes of one of the clients, which no other touches: the subject is the statement's cost, not contention.
    pub fn volumes_of(&self, client: usize) -> &[Uuid] {
        let share = self.volumes.len() / MOST_CLIENTS;
        &self.volumes[client * share..][..share]
    }

    /// The machine, the server and its settings, one a line.
    pub async fn describe(&self) -> Result<String> {
        let client = self.connect().await?;
        let row = client
            .query_one(include_str!("../sql/versions.sql"), &[])
            .await?;
        let (versions, settings): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(format!("{}\n{versions}\n{settings}", machine()?))
    }
}

fn machine() -> Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} x {model}, Linux {}", kernel.trim_end()))
}
