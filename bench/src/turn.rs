//! Turns: how much the clients of one contender do in a given time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

/// A connection that is ready to work.
pub trait Worker: Send + Sync + 'static {
    /// Works until the time is over, and returns how much it did.
    fn work_until(&self, end: Instant) -> impl Future<Output = Result<u64>> + Send;

    /// The processor time that the server has spent on this connection.
    fn server_time(&self) -> Result<Duration>;
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub per_second: f64,
    /// Processor time of the server's processes for one piece of work, in microseconds. What else the machine does leaves it
    /// as it is.
    pub server_time: f64,
}

/// Lets all work at once.
pub async fn turn<W: Worker>(team: &[Arc<W>], time: Duration) -> Result<Turn> {
    let (start, before) = (Instant::now(), server_time(team)?);
    let mut running = JoinSet::new();
    for worker in team {
        let worker = Arc::clone(worker);
        running.spawn(async move { worker.work_until(start + time).await });
    }
    let mut done = 0;
    while let Some(result) = running.join_next().await {
        done += result??;
    }
    let (elapsed, server_time) = (start.elapsed(), server_time(team)? - before);
    Ok(Turn {
        per_second: done as f64 / elapsed.as_secs_f64(),
        server_time: server_time.as_secs_f64() * 1e6 / done as f64,
    })
}

fn server_time<W: Worker>(team: &[Arc<W>]) -> Result<Duration> {
    team.iter().map(|worker| worker.server_time()).sum()
}
