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

    /// The superuser's URL of the server that takes writes.
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

/// Resolves when the clients have made this many more changes on the server.
pub(super) async fn until_at_work(url: &str, changes: i64) -> anyhow::Result<()> {
    const COUNT: &str = "SELECT count(*) FROM app.changes";
    let sql = Sql::connect(url).await?;
    let before = sql.number(COUNT).await?.unwrap_or_default();
    until_within(PATIENCE, "clients at work", async || {
        let now = sql.number(COUNT).await?.unwrap_or_default();
        Ok((now >= before + changes).then_some(()))
    })
    .await
}

/// Resolves when this many standbys stream from the server.
pub(super) async fn until_followed(url: &str, standbys: usize) -> anyhow::Result<()> {
    let sql = Sql::connect(url).await?;
    let followed = format!(
        "SELECT count(*) = {standbys} FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY ('{{a,b,c}}')"
    );
    until_within(PATIENCE, "standbys that stream", async || Ok(sql.holds(&followed).await?.then_some(()))).await
}
