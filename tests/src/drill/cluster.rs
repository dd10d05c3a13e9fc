//! Servers with the same data, of which one takes writes.

use std::time::Duration;

use crate::history::replicated;
use crate::scenario::{Sql, furnish_by, until_within};
use crate::soak::KEYS;

/// The names of the servers.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
/// Longer than any fail-over, rewind or recovery on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// The settings of each server: `pg_rewind` needs the hints and the old segments, the journal the times of commits.
pub(super) const SETTINGS: [(&str, &str); 5] = [
    ("wal_log_hints", "on"),
    ("wal_keep_size", "1GB"),
    ("track_commit_timestamp", "on"),
    // A standby that has lost its primary looks for the next one this often.
    ("wal_retrieve_retry_interval", "200ms"),
    // A server that is never started again leaves no file of its own in the memory of the machine.
    ("dynamic_shared_memory_type", "mmap"),
];

pub(super) trait Cluster {
    /// The TCP ports of all servers.
    fn ports(&self) -> Vec<u16>;

    /// The superuser's URL by which the server that takes writes is found.
    fn primary(&self) -> String;

    /// Lets the next primary lag from now on, if it is to lag.
    async fn leave_behind(&mut self) -> anyhow::Result<()>;

    /// Kills the primary, and returns when another server takes writes.
    async fn fail_over(&mut self) -> anyhow::Result<FailOver>;

    /// Brings back what does not stream from the primary, and returns when all do.
    async fn rejoin(&mut self) -> anyhow::Result<()>;
}

/// One fail-over. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailOver {
    /// The place of the killed server in [`NAMES`].
    pub(super) killed: usize,
    /// The place of the promoted one.
    pub(super) promoted: usize,
    /// The time before the kill.
    pub(super) killed_at: u64,
    /// The time when it was dead for certain.
    pub(super) dead_at: u64,
    /// The time when the promoted one took writes.
    pub(super) promoted_at: u64,
}

/// The tables, roles and keys of the drill.
pub(super) async fn prepare(superuser: &Sql) -> anyhow::Result<()> {
    furnish_by(superuser).await?;
    for step in [replicated::SETUP, KEYS] {
        superuser.run(step).await?;
    }
    Ok(())
}

/// Resolves when the clients have made this many more changes.
pub(super) async fn until_at_work(url: &str, changes: i64) -> anyhow::Result<()> {
    let count = Look::at(url, "SELECT count(*) FROM app.changes");
    let before = count.until("the number of changes", Some).await?;
    count.until("clients at work", |now| (now >= before + changes).then_some(())).await
}

/// Resolves when this many standbys stream from the primary.
pub(super) async fn until_followed(url: &str, standbys: i64) -> anyhow::Result<()> {
    const STREAMING: &str = "SELECT count(*) FROM pg_stat_replication
        WHERE state = 'streaming' AND application_name IN ('a', 'b', 'c')";
    let followed = Look::at(url, STREAMING);
    followed.until("standbys that stream", |streaming| (streaming == standbys).then_some(())).await
}

/// A number that is looked up on whichever server is the primary. It may be another one than before: on a busy machine
/// Patroni may take a slow server for a dead one.
pub(super) struct Look<'a> {
    url: &'a str,
    query: &'a str,
}

impl<'a> Look<'a> {
    pub(super) fn at(url: &'a str, query: &'a str) -> Self {
        Self { url, query }
    }

    /// Resolves when the number is one for which `found` returns something; NULL counts as zero.
    pub(super) async fn until<T>(&self, what: &str, mut found: impl FnMut(i64) -> Option<T>) -> anyhow::Result<T> {
        let mut connection: Option<Sql> = None;
        until_within(PATIENCE, what, async || {
            let sql = match connection.take() {
                Some(sql) => sql,
                None => match Sql::connect(self.url).await {
                    Ok(sql) => sql,
                    Err(_) => return Ok(None),
                },
            };
            Ok(match sql.number(self.query).await {
                Ok(number) => {
                    connection = Some(sql);
                    found(number.unwrap_or_default())
                }
                Err(_) => None,
            })
        })
        .await
    }
}
