//! What the tests share: a database, clusters of their own, and eyes on the server that don't go through the
//! client.

mod proxy;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;
use volguard::{ConnectBuilder, Error, Session, StatementMode, Volguard};

pub(crate) use proxy::{Fault, Proxy};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Long enough to tell "blocked" from "under way".
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// The server itself.
pub(crate) fn direct() -> tokio_postgres::Config {
    let url =
        std::env::var("DATABASE_URL").expect("DATABASE_URL; run the tests under with-postgres");
    url.parse().expect("DATABASE_URL")
}

/// Where clients connect: `POOLER_URL` puts a pooler in transaction mode in between.
pub(crate) fn config() -> tokio_postgres::Config {
    match std::env::var("POOLER_URL") {
        Ok(pooler) => pooler.parse().expect("POOLER_URL"),
        Err(_) => direct(),
    }
}

/// Settings of a client.
pub(crate) fn client() -> ConnectBuilder {
    let mode = match std::env::var_os("POOLER_URL") {
        Some(_) => StatementMode::Unnamed,
        None => StatementMode::Prepared,
    };
    Volguard::builder().config(config()).statement_mode(mode)
}

/// Settings of a client whose connections the server shows under `name`.
pub(crate) fn named(name: &str) -> ConnectBuilder {
    let mut config = config();
    config.application_name(name);
    client().config(config)
}

pub(crate) async fn connect() -> Volguard {
    client().connect().await.expect("a client")
}

pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", Uuid::new_v4().simple())
}

/// The SQLSTATE that the server refused with.
pub(crate) fn code(error: &Error) -> Option<&str> {
    error.sqlstate().map(SqlState::code)
}

/// A session alone in its cluster.
pub(crate) async fn session(volguard: &Volguard) -> Session {
    session_in(volguard, &unique("cluster")).await
}

pub(crate) async fn session_in(volguard: &Volguard, cluster: &str) -> Session {
    volguard
        .register(&unique("host"), "test")
        .cluster(cluster)
        .lease(Duration::from_secs(10))
        .start()
        .await
        .expect("a session")
}

/// A connection of its own, straight to the server.
pub(crate) struct Observer {
    client: Client,
}

impl Observer {
    pub(crate) async fn new() -> Observer {
        let (client, connection) = direct().connect(NoTls).await.expect("the server");
        tokio::spawn(connection);
        Observer { client }
    }

    pub(crate) async fn number(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> i64 {
        let row = self.client.query_one(sql, params).await.expect(sql);
        row.get(0)
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.expect(sql);
    }

    /// How many locks the service holds on the server.
    pub(crate) async fn locks_of(&self, session: &Session) -> i64 {
        self.locks_of_service(session.service_id()).await
    }

    pub(crate) async fn locks_of_service(&self, service_id: i64) -> i64 {
        const SQL: &str = "SELECT count(*) FROM volguard.lock_status WHERE service_id = $1";
        self.number(SQL, &[&service_id]).await
    }

    /// 1 if the server believes the service alive.
    pub(crate) async fn up(&self, service_id: i64) -> i64 {
        const SQL: &str = "SELECT count(*) FROM volguard.service_status \
             WHERE service_id = $1 AND state = 'up'";
        self.number(SQL, &[&service_id]).await
    }

    /// How many acquires run under this application name.
    pub(crate) async fn acquires_of(&self, application_name: &str) -> i64 {
        const SQL: &str = "SELECT count(*) FROM pg_stat_activity \
             WHERE application_name = $1 AND state = 'active' AND query LIKE '%volguard.acquire%'";
        self.number(SQL, &[&application_name]).await
    }

    /// Waits until the number settles at `expected`.
    pub(crate) async fn until<F: AsyncFn(&Observer) -> i64>(&self, expected: i64, number: F) {
        let deadline = Instant::now() + LONG;
        loop {
            let now = number(self).await;
            if now == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{now} instead of {expected}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}
