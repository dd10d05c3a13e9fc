//! A database of its own for a test.

use tokio_postgres::config::Host;
use volguard::tokio_postgres;
use volguard::uuid::Uuid;
use volguard_tests::scenario::Sql;

/// Removed when it is dropped, if it can be.
pub(crate) struct Database {
    name: String,
    /// A superuser's.
    pub(crate) sql: Sql,
}

fn server() -> tokio_postgres::Config {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL; run the tests under with-postgres");
    url.parse().expect("DATABASE_URL")
}

/// With this port and database in it.
fn url(port: u16, name: &str) -> String {
    let server = server();
    let host = match server.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => panic!("DATABASE_URL names no host: the tests put a proxy in front of it"),
    };
    let password = String::from_utf8_lossy(server.get_password().unwrap_or_default()).into_owned();
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let user = server.get_user().unwrap_or("postgres");
    format!(
        "host={host} port={port} user='{}' password='{}' dbname='{}'",
        quoted(user),
        quoted(&password),
        quoted(name)
    )
}

pub(crate) fn port() -> u16 {
    server().get_ports().first().copied().unwrap_or(5432)
}

impl Database {
    /// With the extension in it.
    pub(crate) async fn new() -> anyhow::Result<Database> {
        Database::named(&format!("cli-{}", Uuid::new_v4().simple())).await
    }

    pub(crate) async fn named(name: &str) -> anyhow::Result<Database> {
        let quoted = name.replace('"', "\"\"");
        // Others may be connected to the usual template.
        let create = format!("CREATE DATABASE \"{quoted}\" TEMPLATE template0");
        Sql::connect(&url(port(), "postgres")).await?.run(&create).await?;
        let sql = Sql::connect(&url(port(), name)).await?;
        sql.run("CREATE EXTENSION volguard").await?;
        Ok(Database { name: name.to_owned(), sql })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> String {
        self.by_port(port())
    }

    /// As PgBouncer takes it. The name has no character that needs to be quoted.
    pub(crate) fn as_url(&self) -> anyhow::Result<String> {
        let url = std::env::var("DATABASE_URL")?;
        let (server, _) = url.rsplit_once('/').ok_or_else(|| anyhow::anyhow!("DATABASE_URL is no URL"))?;
        Ok(format!("{server}/{}", self.name))
    }

    /// Through a proxy on this port.
    pub(crate) fn by_port(&self, port: u16) -> String {
        url(port, &self.name)
    }

    pub(crate) async fn another(&self) -> anyhow::Result<Sql> {
        Ok(Sql::connect(&self.url()).await?)
    }

    pub(crate) async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(self.sql.number(sql).await?.unwrap_or_default())
    }

    /// The token of the lock of a volume, while it is held.
    pub(crate) async fn token(&self, volume: &str) -> anyhow::Result<Option<i64>> {
        let look = format!(
            "SELECT token FROM volguard.lock_status WHERE resource_id = '{volume}' AND resource_type = 'volume'"
        );
        Ok(self.sql.number(&look).await?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop_it = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name.replace('"', "\"\""));
        // In a runtime of its own: that of the test may be at its end. A server that is gone keeps nothing.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let drop_it = async { Sql::connect(&url(port(), "postgres")).await?.run(&drop_it).await };
            let _ = runtime.block_on(drop_it);
        });
        let _ = dropping.join();
    }
}
