//! What the tests share: a database, clusters of their own, and an observer of the server that bypasses the client.

mod proxy;

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;
use volguard::{ConnectBuilder, Error, Session, StatementMode, Volguard};

pub(crate) use proxy::{Fault, Proxy};

/// Longer than any call takes that succeeds.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Long enough to tell "blocked" from "under way".
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// Short enough to be waited for, and long enough that a session keeps it on a busy machine.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// The server itself.
pub(crate) fn direct() -> tokio_postgres::Config {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL; run the tests under with-postgres");
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

/// An id that belongs to the running test: a lock has no cluster, and all tests share one table of locks.
pub(crate) fn own(id: &str) -> String {
    static RUN: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    let thread = std::thread::current();
    let test = thread.name().expect("tests run in threads of their own, named after them");
    format!("{}/{test}/{id}", RUN.simple())
}

/// What was made an id of a test by [`own`].
pub(crate) fn plain(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
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

/// Waits until the session has outlived the lease that it has now.
pub(crate) async fn outlives_its_lease(session: &Session) {
    let end = session.lost_at() + session.lease();
    while session.lost_at() < end {
        assert_eq!(session.loss(), None);
        sleep(Duration::from_millis(5)).await;
    }
}

/// The date at that moment. Between the two readings of clocks the process may be put aside, which makes the date
/// later.
pub(crate) fn date(moment: Instant) -> SystemTime {
    let look = || {
        let (now, date) = (Instant::now(), SystemTime::now());
        date + moment.saturating_duration_since(now) - now.saturating_duration_since(moment)
    };
    (0..5).map(|_| look()).min().expect("five looks")
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

    /// When the lease ends that the server has granted last.
    pub(crate) async fn end_of_lease(&self, service_id: i64) -> SystemTime {
        const SQL: &str = "SELECT heartbeat_at + lease FROM volguard.service_status WHERE service_id = $1";
        let row = self.client.query_one(SQL, &[&service_id]).await.expect(SQL);
        row.get(0)
    }

    /// Ends the lease of a service that sends no heartbeats.
    pub(crate) async fn end_lease(&self, service_id: i64) {
        let end = "UPDATE volguard.services SET heartbeat_at = now() - lease * 2 WHERE service_id =";
        self.run(&format!("{end} {service_id}")).await;
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
