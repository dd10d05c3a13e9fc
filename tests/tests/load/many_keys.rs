//! Hundreds of hot keys at once, each with a holder and a sleeping head of its wait queue.

use std::time::Duration;

use anyhow::Context;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use volguard_tests::scenario::{Route, Site, Sql, Violation};

use crate::{LEASE, LONG, SETTLED};

/// The limit for the average hand-over. Without a wake-up it would be most of a
/// second: the last waiter to arrive, which checks last, would be served first.
const WOKEN: Duration = Duration::from_millis(250);

/// As many sessions begin at the same time.
const AT_ONCE: usize = 50;

type Waiting = JoinHandle<anyhow::Result<(Sql, i64)>>;

fn wait(site: &Site, number: usize) -> Waiting {
    let url = site.url();
    tokio::spawn(async move {
        let sql = Sql::connect(&url).await?;
        let service = sql.register(&format!("waiter-{number}"), LEASE).await?;
        let key = format!("v{number}");
        let token = sql.acquire(service, &key, LONG).await?.context("in time")?;
        Ok((sql, token))
    })
}

/// Half of the keys are released one by one, the others in one commit.
async fn hand_over_all(site: &Site, keys: usize) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = site.sql().await?;
    let service = holder.register("holder", LEASE).await?;
    let mut tokens = Vec::new();
    let mut waiters = Vec::new();
    for number in 0..keys {
        let key = format!("v{number}");
        let token = holder.acquire(service, &key, Duration::ZERO).await?;
        tokens.push(token.context("free")?);
        waiters.push(wait(site, number));
        if waiters.len() % AT_ONCE == 0 || waiters.len() == keys {
            observer.until_asleep(waiters.len() as i64).await?;
        }
    }

    let half = keys / 2;
    let mut winners = JoinSet::new();
    let started = Instant::now();
    for (token, waiting) in tokens.drain(half..).zip(waiters.drain(half..)).rev() {
        assert!(holder.release(token).await?);
        let (sql, token) = waiting.await??;
        winners.spawn(async move { sql.release(token).await });
    }
    let took = started.elapsed();
    println!("{} of {keys} hot keys handed over one by one in {took:?}", keys - half);
    let limit = WOKEN * (keys - half) as u32;
    if took > limit {
        let what = "handing over one by one";
        return Err(Violation::Late { what, took, limit }.into());
    }

    let started = Instant::now();
    let list = tokens.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let release_all = format!("SELECT volguard.release_all(ARRAY[{list}])");
    assert_eq!(holder.number(&release_all).await?, Some(half as i64));
    for waiting in waiters {
        let (sql, token) = waiting.await??;
        winners.spawn(async move { sql.release(token).await });
    }
    println!("{half} more in one commit, in {:?}", started.elapsed());
    while let Some(released) = winners.join_next().await {
        assert!(released??);
    }
    observer.until_settled(SETTLED).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_hot_keys() -> anyhow::Result<()> {
    hand_over_all(&Site::new(Route::Direct)?, 500).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wake_up_they_sleep_on() -> anyhow::Result<()> {
    let violation = Violation::expected_in(hand_over_all(&Site::without("WakeUp")?, 24).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    Ok(())
}
