//! More calls wait than a pooler has places: what their holder needs to end its work must not queue behind them.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Instant;
use volguard_tests::scenario::{Observer, Sql, Violation, url};
use volguard_tests::{PgBouncer, Profile};

use crate::server::server;

const LEASE: Duration = Duration::from_secs(300);
/// The places of each pool.
const PLACES: usize = 3;
const WAITERS: usize = 2 * PLACES;

/// The waiting calls go by one name of the pooler, all others by `cloud`.
async fn holder_and_waiters(waiters_go_by: &str, wait: Duration) -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    let pooler = PgBouncer::with_pools(&server.url(), &[("cloud", PLACES), ("cloud_waiting", PLACES)])?;
    let observer = Observer::of(&server.url()).await?;
    let holder = Sql::connect(&url("manager", pooler.port(), "cloud")).await?;
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let mut waiters = JoinSet::new();
    for _ in 0..WAITERS {
        let waiting = Sql::connect(&url("manager", pooler.port(), waiters_go_by)).await?;
        let working = Sql::connect(&url("manager", pooler.port(), "cloud")).await?;
        waiters.spawn(async move {
            let token = waiting.acquire(service, "v0", wait).await?;
            // It is a holder now.
            if let Some(token) = token {
                working.release(token).await?;
            }
            anyhow::Ok(token)
        });
    }
    observer.until_in_queue(PLACES as i64).await?;
    let asked = Instant::now();
    holder.run(&format!("SELECT volguard.heartbeat({service})")).await?;
    let took = asked.elapsed();
    // The calls that run: one that looks at the row for a moment, as each does once a second, is in no wait event.
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%volguard.acquire%'
                   AND pid <> pg_backend_pid()";
    if took > wait / 2 || observer.sql().number(running).await? < Some(PLACES as i64) {
        return Err(Violation::Waiting("a heartbeat of the holder waited for its waiters").into());
    }
    assert!(holder.release(token).await?);
    while let Some(ended) = waiters.join_next().await {
        ended??.context("a turn for each")?;
    }
    observer.until_settled(Duration::from_secs(20)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_alias_the_holder_gets_through() -> anyhow::Result<()> {
    holder_and_waiters("cloud_waiting", Duration::from_secs(60)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_one_the_waiters_keep_the_holder_out() -> anyhow::Result<()> {
    let violation = Violation::expected_in(holder_and_waiters("cloud", Duration::from_secs(4)).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}
