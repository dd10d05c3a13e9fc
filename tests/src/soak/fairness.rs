//! Many waiters that ask for one key again and again: how often does each get it?

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::scenario::{Sql, sqlstate};

const LEASE: Duration = Duration::from_secs(3600);
/// Every wait is shorter than this.
const WAIT: Duration = Duration::from_secs(120);

/// How often each waiter was served, and how long it took.
#[derive(Debug, Clone)]
pub struct Turns {
    /// One number for each waiter.
    pub served: Vec<usize>,
    /// From the first hand-over to the last.
    pub took: Duration,
}

impl Turns {
    /// How often the waiter with the fewest turns got the lock.
    #[must_use]
    pub fn least(&self) -> usize {
        self.served.iter().min().copied().unwrap_or_default()
    }

    /// How often the waiter with the most turns got it.
    #[must_use]
    pub fn most(&self) -> usize {
        self.served.iter().max().copied().unwrap_or_default()
    }

    /// Whether no waiter was served twice as often as another.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        self.most() < 2 * self.least()
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.served.iter().sum();
        write!(
            f,
            "{:3} waiters: {total} hand-overs, {:.0} a second, each served {} to {} times",
            self.served.len(),
            total as f64 / self.took.as_secs_f64(),
            self.least(),
            self.most()
        )
    }
}

/// What decides which waiter is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The extension's wait queue.
    Line,
    /// Nothing, because the wait queue is removed: the primary key refuses concurrent callers, and they ask again.
    Chance,
}

impl Order {
    async fn acquire(self, sql: &Sql, service: i64, key: &str) -> anyhow::Result<i64> {
        loop {
            match sql.acquire(service, key, WAIT).await {
                Err(refused) if self == Order::Chance && sqlstate(&refused) == "23505" => {}
                token => return token?.context("in time"),
            }
        }
    }
}

/// Lets this many connections take turns at `key` for that many hand-overs. They start when all are in the queue.
///
/// # Errors
/// An error of the server; an error if one waits in vain.
pub async fn take_turns(
    url: &str,
    key: &str,
    waiters: usize,
    hand_overs: usize,
    order: Order,
) -> anyhow::Result<Turns> {
    let opener = Sql::connect(url).await?;
    let service = opener.register(&format!("{key}-opener"), LEASE).await?;
    let first = opener.acquire(service, key, WAIT).await?.context("free")?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut lines = JoinSet::new();
    for number in 0..waiters {
        let sql = Sql::connect(url).await?;
        let service = sql.register(&format!("{key}-{number}"), LEASE).await?;
        // The first call of a session plans its statements, which is not measured.
        let own = format!("{key}-{number}");
        let token = sql.acquire(service, &own, WAIT).await?.context("free")?;
        sql.release(token).await?;
        let (key, done) = (key.to_owned(), Arc::clone(&done));
        lines.spawn(async move {
            let mut served = 0;
            loop {
                let token = order.acquire(&sql, service, &key).await?;
                let over = done.fetch_add(1, Ordering::Relaxed) >= hand_overs;
                sql.release(token).await?;
                if over {
                    return anyhow::Ok(served);
                }
                served += 1;
            }
        });
    }
    until_all_wait(&opener, key, waiters).await?;
    let started = Instant::now();
    opener.release(first).await?;
    let mut served = Vec::new();
    while let Some(turns) = lines.join_next().await {
        served.push(turns??);
    }
    Ok(Turns { served, took: started.elapsed() })
}

async fn until_all_wait(sql: &Sql, key: &str, waiters: usize) -> anyhow::Result<()> {
    // Without superuser rights: the waiters have the same role.
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type IN ('Extension', 'Lock') AND query LIKE '%acquire%''{key}''%' AND pid <> pg_backend_pid()"
    );
    crate::scenario::until("all waiters in the wait queue", async || {
        let in_line = sql.number(&waiting).await?.unwrap_or_default();
        Ok((in_line == waiters as i64).then_some(()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(served: &[usize]) -> Turns {
        Turns { served: served.to_vec(), took: Duration::from_secs(1) }
    }

    #[test]
    fn twice_as_often_is_not_fair() {
        assert!(turns(&[10, 19, 12]).is_fair());
        assert!(!turns(&[10, 20, 12]).is_fair());
        assert!(!turns(&[0, 0]).is_fair());
    }
}
