//! A private Postgres with volguard in it.

use anyhow::Result;
use tokio_postgres::{Client, NoTls};
use volguard_tests::{PrivateServer, PrivateServerBuilder, Profile};

/// A role that owns nothing of volguard's: what programs in production are.
const ROLE: &str = "bench";

#[derive(Debug)]
pub struct Postgres {
    server: PrivateServer,
}

impl Postgres {
    /// Builds the extension unless `VOLGUARD_PACKAGE` names a build of it, and starts a server with it.
    pub fn start(
        fsync: bool,
        settings: impl FnOnce(PrivateServerBuilder) -> PrivateServerBuilder,
    ) -> Result<Postgres> {
        let builder = PrivateServer::builder()
            .profile(Profile::Release)
            .durable(fsync)
            // No checkpoint is to come in the middle of a turn.
            .setting("checkpoint_timeout", "1h")
            .setting("max_wal_size", "16GB")
            .setting("max_connections", "400");
        Ok(Postgres {
            server: settings(builder).start()?,
        })
    }

    /// A connection of the superuser's.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.server.url()).await
    }

    /// One more database, in which the role of [`connect_as_role`](Self::connect_as_role) may use volguard.
    pub async fn create_database(&self, name: &str) -> Result<Client> {
        let client = connect(&self.server.create_database(name)?).await?;
        grant(&client).await?;
        Ok(client)
    }

    /// Lets the role of [`connect_as_role`](Self::connect_as_role) use volguard in the first database.
    pub async fn create_role(&self) -> Result<()> {
        let client = self.connect().await?;
        let create = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'");
        client.batch_execute(&create).await?;
        grant(&client).await
    }

    /// A connection of the superuser's to one of the databases.
    pub async fn connect_to(&self, database: &str) -> Result<Client> {
        let mut config: tokio_postgres::Config = self.server.url().parse()?;
        let (client, connection) = config.dbname(database).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn connect_as_role(&self, database: &str) -> Result<Client> {
        let port = self.server.port();
        connect(&format!(
            "postgresql://{ROLE}:{ROLE}@127.0.0.1:{port}/{database}"
        ))
        .await
    }

    /// The process that serves this connection.
    pub async fn backend(client: &Client) -> Result<i32> {
        let row = client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]);
        Ok(row.await?.try_get(0)?)
    }

    /// Version and settings, one a line.
    pub async fn describe(&self) -> Result<String> {
        let client = self.connect().await?;
        let row = client
            .query_one(include_str!("../../sql/versions.sql"), &[])
            .await?;
        let (versions, settings): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(format!("{versions}\n{settings}"))
    }
}

async fn grant(client: &Client) -> Result<()> {
    let grant = format!("SELECT volguard.grant_usage('{ROLE}')");
    Ok(client.batch_execute(&grant).await?)
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client; an error that breaks it is the next statement's too.
    tokio::spawn(connection);
    Ok(client)
}
