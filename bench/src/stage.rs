//! The servers that all parts use: private ones, on this machine, which end with the benchmark.

use anyhow::{Context, Result};
use tokio_postgres::Client;
use volguard_tests::{PrivateServer, Profile};

use crate::connection::connect;
use crate::database::{Database, ROLE};
use crate::options::Options;
use crate::part::Part;
use crate::provider::Provider;
use crate::server::Server;

/// Postgres' connections are limited, and several contenders use them.
pub const MOST_CLIENTS: usize = 64;

#[derive(Debug)]
pub struct Stage {
    postgres: PrivateServer,
    superuser: Client,
    /// The servers that some of the providers need.
    others: Vec<(Provider, Server)>,
}

impl Stage {
    /// Starts the servers that the run needs; builds the extension unless `VOLGUARD_PACKAGE` names a build of it.
    pub async fn set(options: &Options) -> Result<Stage> {
        let mut others = Vec::new();
        for &provider in &options.against {
            let part = if provider == Provider::RabbitMq { Part::Queue } else { Part::Locks };
            if !options.parts.contains(&part) {
                continue;
            }
            match provider {
                Provider::Etcd => others.push((provider, Server::etcd()?)),
                Provider::Redis => others.push((provider, Server::redis()?)),
                Provider::RabbitMq => others.push((provider, Server::rabbitmq()?)),
                Provider::Volguard | Provider::Hand | Provider::Advisory => {}
            }
        }
        let postgres = PrivateServer::builder()
            .profile(Profile::Release)
            .durable(options.fsync)
            // No checkpoint and no vacuum may come in the middle of a turn.
            .setting("checkpoint_timeout", "1h")
            .setting("max_wal_size", "16GB")
            .setting("autovacuum", "off")
            .setting("shared_buffers", "1GB")
            .setting("max_connections", "400")
            .start()?;
        let superuser = connect(&postgres.url()).await?;
        let create = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'");
        superuser.batch_execute(&create).await?;
        Ok(Stage { postgres, superuser, others })
    }

    /// A new database; earlier writes are flushed to disk first.
    pub async fn database(&self, name: &str, schema: &str) -> Result<Database> {
        let superuser_url = self.postgres.create_database(name)?;
        let port = self.postgres.port();
        let role_url = format!("postgresql://{ROLE}:{ROLE}@127.0.0.1:{port}/{name}");
        let database = Database::prepare(superuser_url, role_url, schema).await?;
        self.superuser.batch_execute("CHECKPOINT").await?;
        Ok(database)
    }

    pub async fn set_autovacuum(&self, on: bool) -> Result<()> {
        let set = format!("ALTER SYSTEM SET autovacuum = {on}");
        self.superuser.batch_execute(&set).await?;
        let reload = "SELECT pg_catalog.pg_reload_conf()";
        Ok(self.superuser.batch_execute(reload).await?)
    }

    /// The server of a provider that is not in Postgres.
    pub fn server(&self, provider: Provider) -> Result<&Server> {
        let server = self.others.iter().find(|(of, _)| *of == provider);
        Ok(&server.context("takes no part")?.1)
    }

    /// The servers and their settings.
    pub async fn describe(&self) -> Result<Vec<String>> {
        let sql = include_str!("../sql/versions.sql");
        let row = self.superuser.query_one(sql, &[]).await?;
        let mut lines: Vec<String> = vec![row.try_get(0)?, row.try_get(1)?];
        lines.extend(self.others.iter().map(|(_, server)| server.describe()));
        Ok(lines)
    }
}
