//! What the server says, asked past the client.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use volguard::Session;

use super::{LONG, direct};

/// A connection of its own, straight to the server.
pub(crate) struct Observer {
    client: Client,
}

impl Observer {
    pub(crate) async fn new() -> Observer {
        Observer::of(&direct()).await
    }

    pub(crate) async fn of(config: &tokio_postgres::Config) -> Observer {
        let (client, connection) = config.connect(NoTls).await.expect("the server");
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
        let end = "UPDATE volguard.services SET heartbeat_at = now() - lease * 1.5 WHERE service_id =";
        self.run(&format!("{end} {service_id}")).await;
    }

    /// How many acquires run under this application name.
    pub(crate) async fn acquires_of(&self, application_name: &str) -> i64 {
        self.running(application_name, "volguard.acquire").await
    }

    /// How many statements with this text run under this application name.
    pub(crate) async fn running(&self, application_name: &str, text: &str) -> i64 {
        const SQL: &str = "SELECT count(*) FROM pg_stat_activity \
             WHERE application_name = $1 AND state = 'active' AND position($2 IN query) > 0";
        self.number(SQL, &[&application_name, &text]).await
    }

    /// How many statements with this text sleep under this application name, until something happens at the server.
    /// They have been sent as a whole: what is only being prepared, or begun, does not count.
    pub(crate) async fn sleeping(&self, application_name: &str, text: &str) -> i64 {
        const SQL: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active' \
             AND position($2 IN query) > 0 AND wait_event_type IN ('Extension', 'Lock')";
        self.number(SQL, &[&application_name, &text]).await
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
