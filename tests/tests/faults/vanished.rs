//! Clients that vanish while they wait, on a server with Postgres' default settings.

use std::time::Duration;

use anyhow::Context;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use volguard_tests::scenario::{Route, Site, Violation};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(50);
const SETTLED: Duration = Duration::from_secs(30);
/// A wait checks its connection once a second; a busy machine may keep it from that for a while.
const NOTICED: Duration = Duration::from_secs(15);

/// The head and one waiter behind it vanish without a message.
async fn the_vanished_are_noticed(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = site.sql().await?;
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v0", LONG).await?.context("free")?;
    let mut plugs = Vec::new();
    for number in 0..2 {
        let sql = site.sql().await?;
        let service = sql.register(&format!("waiter-{number}"), LEASE).await?;
        plugs.push(sql.plug());
        tokio::spawn(async move { sql.acquire(service, "v0", LONG).await });
        observer.until_in_queue(number + 1).await?;
    }
    plugs.iter().for_each(AbortHandle::abort);
    let deadline = Instant::now() + NOTICED;
    while observer.in_line().await? > 0 {
        if Instant::now() > deadline {
            return Err(Violation::LeftBehind("waits of vanished clients".to_owned()).into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    holder.release(token).await?;
    observer.until_settled(SETTLED).await
}

#[tokio::test]
async fn vanished_clients_are_noticed() -> anyhow::Result<()> {
    the_vanished_are_noticed(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_check_they_go_unnoticed() -> anyhow::Result<()> {
    let site = Site::without("ConnectionCheck")?;
    let violation = Violation::expected_in(the_vanished_are_noticed(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// The head vanishes just before the release. Its call must not take
/// the lock for a client that is gone, and hold it for a lease.
async fn a_lock_is_not_taken_for_the_vanished(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = site.sql().await?;
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v0", LONG).await?.context("free")?;
    let gone = site.sql().await?;
    let service = gone.register("gone", LEASE).await?;
    let plug = gone.plug();
    let vanished = tokio::spawn(async move { gone.acquire(service, "v0", LONG).await });
    observer.until_asleep(1).await?;
    let next = site.sql().await?;
    let service = next.register("next", LEASE).await?;
    let waiting = tokio::spawn(async move {
        let token = next.acquire(service, "v0", NOTICED).await?;
        anyhow::Ok((next, token))
    });
    observer.until_in_queue(2).await?;
    plug.abort();
    assert!(vanished.await?.is_err(), "its socket is closed");
    holder.release(token).await?;
    let (next, token) = waiting.await??;
    let Some(token) = token else {
        let lock = "a lock that was taken for a client that had gone";
        return Err(Violation::LeftBehind(lock.to_owned()).into());
    };
    next.release(token).await?;
    observer.until_settled(SETTLED).await
}

#[tokio::test]
async fn a_lock_passes_the_vanished_by() -> anyhow::Result<()> {
    a_lock_is_not_taken_for_the_vanished(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_check_a_vanished_client_gets_it() -> anyhow::Result<()> {
    let site = Site::without("ConnectionCheck")?;
    let violation = Violation::expected_in(a_lock_is_not_taken_for_the_vanished(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}
