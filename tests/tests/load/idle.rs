//! A waiting session costs nothing.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};
use volguard_tests::scenario::{Route, Site};

use crate::{LEASE, LONG, SETTLED};

const WAITERS: usize = 4;
const WATCHED: Duration = Duration::from_secs(5);
/// A hundredth of a core. What remains is one check a second.
const LIMIT: f64 = 0.01;

/// How long a process has been on a processor.
fn on_cpu(pid: i64) -> anyhow::Result<Duration> {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = schedstat.split(' ').next().context("three numbers")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// One session sleeps at the head of the wait queue, the others are queued.
#[tokio::test]
async fn a_waiting_session_uses_no_processor() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let holder = site.sql().await?;
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let (mut pids, mut waiters) = (Vec::new(), Vec::new());
    for number in 0..WAITERS {
        let sql = site.sql().await?;
        let service = sql.register(&format!("waiter-{number}"), LEASE).await?;
        pids.push(sql.pid().await?);
        waiters.push(tokio::spawn(async move {
            let token = sql.acquire(service, "v0", LONG).await?.context("in time")?;
            anyhow::Ok(sql.release(token).await?)
        }));
        observer.until_in_queue(number as i64 + 1).await?;
    }
    let (started, before) = (Instant::now(), used(&pids)?);
    sleep(WATCHED).await;
    let (after, watched) = (used(&pids)?, started.elapsed());
    for (place, (before, after)) in before.into_iter().zip(after).enumerate() {
        let share = (after - before).as_secs_f64() / watched.as_secs_f64();
        println!("waiter {place}: {:.3} % of a core", share * 100.0);
        assert!(share < LIMIT, "waiter {place} uses {share} of a core");
    }
    holder.release(token).await?;
    for waiter in waiters {
        assert!(waiter.await??);
    }
    observer.until_settled(SETTLED).await
}

fn used(pids: &[i64]) -> anyhow::Result<Vec<Duration>> {
    pids.iter().map(|&pid| on_cpu(pid)).collect()
}
