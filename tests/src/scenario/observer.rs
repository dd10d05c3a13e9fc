//! What the server reports about itself while a scenario runs.

mod endings;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Sql, Violation, until};

/// Wait queues, service locks, incarnations and the like: `extension/src/wait/tag.rs`.
const OURS: &str = "locktype = 'advisory' AND objsubid BETWEEN 22087 AND 22099
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The application name of the client crate.
const CLIENT: &str = "volguard";

/// Asleep at the head of a wait queue, or queued behind it.
const IN_QUEUE: &str = "wait_event_type IN ('Extension', 'Lock')";

/// A superuser that only reads, unless it is told otherwise.
#[derive(Debug)]
pub struct Observer {
    sql: Sql,
    /// A connection to PgBouncer's own database, if the route leads through it.
    pooler: Option<Sql>,
}

impl Observer {
    /// An observer of the database of this URL, which must be a superuser's, if no client uses a pooler.
    ///
    /// # Errors
    /// An error of the server or of the network.
    pub async fn of(url: &str) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { sql: Sql::connect(url).await?, pooler: None })
    }

    pub(crate) fn behind(self, pooler: Sql) -> Self {
        Self { pooler: Some(pooler), ..self }
    }

    /// The connection, for calls that only a superuser may make.
    #[must_use]
    pub fn sql(&self) -> &Sql {
        &self.sql
    }

    /// Resolves when this many heads of wait queues sleep until a wake-up.
    ///
    /// # Errors
    /// If this state is not reached in time.
    pub async fn until_asleep(&self, heads: i64) -> anyhow::Result<()> {
        self.until_waiting("heads asleep", "wait_event_type = 'Extension'", heads).await
    }

    /// Resolves when this many sessions wait for a lock: for their
    /// turn in a wait queue, a service lock, a row, a transaction.
    ///
    /// # Errors
    /// If this state is not reached in time.
    pub async fn until_queued(&self, sessions: i64) -> anyhow::Result<()> {
        self.until_waiting("sessions queued", "wait_event_type = 'Lock'", sessions).await
    }

    /// Resolves when this many sessions wait in either way.
    ///
    /// # Errors
    /// If this state is not reached in time.
    pub async fn until_in_queue(&self, sessions: i64) -> anyhow::Result<()> {
        self.until_waiting("sessions in the wait queue", IN_QUEUE, sessions).await
    }

    /// Waits until no session runs an acquire. A head that checks
    /// its row for a moment isn't asleep, but still runs one.
    ///
    /// # Errors
    /// If this state is not reached in time.
    pub async fn until_no_acquire_runs(&self) -> anyhow::Result<()> {
        let how = "state = 'active' AND query LIKE '%volguard.acquire%' AND pid <> pg_backend_pid()";
        self.until_waiting("sessions that acquire", how, 0).await
    }

    /// The number of sessions in a wait queue, at its head or behind it.
    ///
    /// # Errors
    /// An error of the server.
    pub async fn in_line(&self) -> anyhow::Result<i64> {
        self.waiting(IN_QUEUE).await
    }

    async fn waiting(&self, how: &str) -> anyhow::Result<i64> {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {how}");
        Ok(self.sql.number(&count).await?.unwrap_or_default())
    }

    async fn until_waiting(&self, what: &str, how: &str, count: i64) -> anyhow::Result<()> {
        let waited =
            until(&format!("{count} {what}"), async || Ok((self.waiting(how).await? == count).then_some(()))).await;
        match waited {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(self.sessions().await?)),
        }
    }

    /// What every session does, to explain why nothing happens.
    async fn sessions(&self) -> anyhow::Result<String> {
        let look = "SELECT string_agg(concat_ws(' ', pid, state, wait_event_type, wait_event, left(query, 200)), E'\n')
                    FROM pg_stat_activity WHERE datname = current_database()";
        Ok(self.sql.text(look).await?.unwrap_or_default())
    }

    /// Resolves when `workers` has no lock and no session is in a wait queue.
    ///
    /// # Errors
    /// [`Violation::LeftBehind`] if this is not reached within `limit`.
    pub async fn until_settled(&self, limit: Duration) -> anyhow::Result<()> {
        let look = format!(
            "SELECT concat_ws('; ',
                 (SELECT string_agg(format('lock %s of service %s on %s', token, service_id, resource_id), ', ')
                  FROM volguard.lock_status),
                 (SELECT string_agg(format('%s %s by %s', mode, objsubid, pid), ', ') FROM pg_locks WHERE {OURS}))"
        );
        let deadline = Instant::now() + limit;
        loop {
            let left = self.sql.text(&look).await?.unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Violation::LeftBehind(left).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The number of connections of the client crate to this database, or to the pooler for it.
    ///
    /// # Errors
    /// An error of the server.
    pub async fn connections(&self) -> anyhow::Result<i64> {
        if let Some(pooler) = &self.pooler {
            let clients = self.clients(pooler).await?;
            return Ok(clients.iter().filter(|name| *name == CLIENT).count() as i64);
        }
        let look = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = '{CLIENT}'"
        );
        Ok(self.sql.number(&look).await?.unwrap_or_default())
    }
}
