//! The end of a client as the server sees it, the end of a lease, and the time after that.
//!
//! A killed client is gone at once, but its statements are not: a statement may
//! run and commit long after its client has died, especially on a busy machine.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::{CLIENT, Observer};
use crate::scenario::{Sql, Violation, until};

impl Observer {
    /// Resolves when no statement of a client with this application
    /// name runs any more, and none can come: its connections are gone.
    ///
    /// # Errors
    /// If this state is not reached in time.
    pub async fn until_gone(&self, application_name: &str) -> anyhow::Result<()> {
        until(&format!("the end of {application_name}"), async || {
            Ok(self.is_gone(application_name).await?.then_some(()))
        })
        .await
    }

    /// The same for the client crate in this process, after it has closed its connections to this database.
    ///
    /// # Errors
    /// [`Violation::LeftBehind`] if this is not reached within `limit`.
    pub async fn until_disconnected(&self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !self.is_gone(CLIENT).await? {
            if Instant::now() > deadline {
                let left = self.connections().await?;
                return Err(Violation::LeftBehind(format!("{left} connections")).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn is_gone(&self, application_name: &str) -> anyhow::Result<bool> {
        match &self.pooler {
            None => self.has_no_backend(application_name).await,
            Some(pooler) => self.is_forgotten(pooler, application_name).await,
        }
    }

    async fn has_no_backend(&self, application_name: &str) -> anyhow::Result<bool> {
        let look = format!(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity
                                WHERE datname = current_database() AND application_name = '{application_name}')"
        );
        Ok(self.sql.holds(&look).await?)
    }

    /// PgBouncer does not reuse a server connection that a client has left in the middle of a statement: it
    /// closes it, and the backend ends when it is done. So all backends must be ones that PgBouncer knows.
    async fn is_forgotten(&self, pooler: &Sql, application_name: &str) -> anyhow::Result<bool> {
        let clients = self.clients(pooler).await?;
        if clients.iter().any(|name| name == application_name) {
            return Ok(false);
        }
        let servers = self.shown(pooler, "SHOW SERVERS", "remote_pid").await?;
        // Clients of the pooler are no superusers, and all other clients are.
        let pids = "SELECT a.pid FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.rolname = a.usename
                    WHERE a.datname = current_database() AND NOT r.rolsuper";
        let pids = self.sql.rows(pids).await?.into_iter().flatten().flatten();
        Ok(pids.into_iter().all(|pid| servers.contains(&pid)))
    }

    /// The application names of the pooler's clients.
    pub(super) async fn clients(&self, pooler: &Sql) -> anyhow::Result<Vec<String>> {
        self.shown(pooler, "SHOW CLIENTS", "application_name").await
    }

    /// A column of PgBouncer's `SHOW` for this database; its position differs between versions.
    async fn shown(&self, pooler: &Sql, show: &str, column: &str) -> anyhow::Result<Vec<String>> {
        let database = self.sql.text("SELECT current_database()").await?;
        let rows = pooler.named_rows(show).await?.into_iter();
        let rows = rows.filter(|row| row.get("database") == database.as_ref());
        let values: Option<Vec<String>> = rows.map(|mut row| row.remove(column)).collect();
        values.with_context(|| format!("{show} has no {column}"))
    }

    /// Ends the lease of a service that sends no heartbeats, now.
    ///
    /// # Errors
    /// If there is no such service.
    pub async fn end_lease(&self, service: i64) -> anyhow::Result<()> {
        self.set_heartbeat(service, "now() - lease * 1.5").await
    }

    /// Sets the lease of a service that sends no heartbeats to end after this time, whenever it registered.
    ///
    /// # Errors
    /// If there is no such service.
    pub async fn end_lease_in(&self, service: i64, time: Duration) -> anyhow::Result<()> {
        let time = time.as_millis();
        let heartbeat = format!("clock_timestamp() - lease + interval '{time} ms'");
        self.set_heartbeat(service, &heartbeat).await
    }

    /// The time from the end of a dead service's lease until a lock was taken, by the database's clock.
    ///
    /// # Errors
    /// [`Violation::Early`] if the lease was not over; an error if the service is not fenced, or the lock not held.
    pub async fn lateness(&self, dead: i64, token: i64) -> anyhow::Result<Duration> {
        let late = format!(
            "SELECT floor(extract(epoch FROM l.acquired_at - (s.heartbeat_at + s.lease)) * 1000)::bigint
             FROM volguard.lock_status AS l, volguard.service_status AS s
             WHERE l.token = {token} AND s.service_id = {dead} AND s.state = 'fenced'"
        );
        let late = self.sql.number(&late).await?;
        let late = late.context("the dead service is fenced, the heir has the lock")?;
        match u64::try_from(late) {
            Ok(late) => Ok(Duration::from_millis(late)),
            Err(_) => Err(Violation::Early(format!("{} ms before the lease ended", -late)).into()),
        }
    }

    async fn set_heartbeat(&self, service: i64, at: &str) -> anyhow::Result<()> {
        let set =
            format!("UPDATE volguard.services SET heartbeat_at = {at} WHERE service_id = {service} RETURNING true");
        anyhow::ensure!(self.sql.holds(&set).await?, "there is no service {service}");
        Ok(())
    }
}
