//! What the server says about itself while a scenario runs.

mod endings;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Sql, Violation, until};

/// Waiting lines, gates and incarnations: `extension/src/wait/tag.rs`.
const OURS: &str = "locktype = 'advisory' AND objsubid BETWEEN 22087 AND 22092
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// What the client crate calls itself.
const CLIENT: &str = "volguard";

/// Asleep at the head of a line, or queued behind.
const IN_LINE: &str = "wait_event_type IN ('Extension', 'Lock')";

/// A superuser who only looks, unless told otherwise.
#[derive(Debug)]
pub struct Observer {
    sql: Sql,
    /// To PgBouncer's own database, where the route leads through it.
    pooler: Option<Sql>,
}

impl Observer {
    /// Of the database of this URL, which must be a superuser's, where no client goes through a pooler.
    ///
    /// # Errors
    /// The server's, or the network's.
    pub async fn of(url: &str) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { sql: Sql::connect(url).await?, pooler: None })
    }

    pub(crate) fn behind(self, pooler: Sql) -> Self {
        Self { pooler: Some(pooler), ..self }
    }

    /// The connection, for acts that only a superuser may do.
    #[must_use]
    pub fn sql(&self) -> &Sql {
        &self.sql
    }

    /// Resolves when this many heads of lines sleep until somebody wakes them.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn until_asleep(&self, heads: i64) -> anyhow::Result<()> {
        self.until_waiting("heads asleep", "wait_event_type = 'Extension'", heads).await
    }

    /// Resolves when this many sessions wait for a lock: for their turn in a line, a gate, a row, a transaction.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn until_queued(&self, sessions: i64) -> anyhow::Result<()> {
        self.until_waiting("sessions queued", "wait_event_type = 'Lock'", sessions).await
    }

    /// Resolves when this many sessions are either.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn until_in_line(&self, sessions: i64) -> anyhow::Result<()> {
        self.until_waiting("sessions in line", IN_LINE, sessions).await
    }

    /// Waits until no session runs an acquire. A head that looks at its row for a moment isn't asleep, but it is there.
    ///
    /// # Errors
    /// If it does not come to that.
    pub async fn until_nobody_acquires(&self) -> anyhow::Result<()> {
        let how = "state = 'active' AND query LIKE '%volguard.acquire%' AND pid <> pg_backend_pid()";
        self.until_waiting("sessions that acquire", how, 0).await
    }

    /// How many sessions wait in a line, at its head or behind.
    ///
    /// # Errors
    /// The server's.
    pub async fn in_line(&self) -> anyhow::Result<i64> {
        self.waiting(IN_LINE).await
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

    /// What everybody does, for whoever wants to know why nothing happens.
    async fn sessions(&self) -> anyhow::Result<String> {
        let look = "SELECT string_agg(concat_ws(' ', pid, state, wait_event_type, wait_event, left(query, 200)), E'\n')
                    FROM pg_stat_activity WHERE datname = current_database()";
        Ok(self.sql.text(look).await?.unwrap_or_default())
    }

    /// Resolves when nothing is held in `workers` and nobody stands in a line.
    ///
    /// # Errors
    /// [`Violation::LeftBehind`] if that is not so within `limit`.
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

    /// How many connections the client crate has to this database, or to the pooler for it.
    ///
    /// # Errors
    /// The server's.
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
