//! Futures of the client that are dropped, at every await and at every
//! message: no lock, no place in a wait queue and no connection stays behind.

mod broken;
mod stage;

use std::time::Duration;

use anyhow::Context;
use volguard::{Loss, StatementMode};
use volguard_tests::scenario::{Polls, Proxy, Route, Site, Violation, When};

use self::stage::{Stage, connect, everywhere, run};

/// No heartbeat is due while a test runs, which would be counted, or cut.
const LEASE: Duration = Duration::from_secs(3600);
const LONG: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(60);

by_both_routes!(
    acquire,
    acquire_that_waits_in_the_database,
    acquire_that_waits_in_the_process,
    acquire_all,
    release,
    release_all,
    set_status,
    start,
    stop,
);

async fn acquire(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    everywhere(async |place| {
        let lock = stage.run(place, stage.session.acquire(("volume", "v0")).into_future()).await;
        let ended = lock.is_some();
        if let Some(lock) = lock {
            lock?.context("no other session wants it")?.release().await?;
        }
        stage.is_clean().await?;
        Ok(ended)
    })
    .await?;
    stage.end().await
}

async fn acquire_that_waits_in_the_database(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    let wait = || stage.session.acquire(("volume", "v0")).wait(LONG).into_future();

    // Before it is in the wait queue.
    let token = stage.other_acquires().await?;
    assert!(Polls::of(wait(), When::AfterPoll(1)).await.is_none());
    leaves_the_line(site, &stage).await?;
    stage.other.release(token).await?;
    stage.is_clean().await?;

    // In the wait queue, which it leaves at once and not only when it would have been served.
    let token = stage.other_acquires().await?;
    tokio::select! {
        _ = wait() => anyhow::bail!("v0 is not free"),
        asleep = stage.observer.until_asleep(1) => asleep?,
    }
    leaves_the_line(site, &stage).await?;
    stage.other.release(token).await?;
    stage.is_clean().await?;

    // Served, but it does not learn of it.
    let token = stage.other_acquires().await?;
    let waiting = tokio::spawn(Polls::of(wait(), When::BeforePollAfter(1)));
    stage.observer.until_asleep(1).await?;
    stage.other.release(token).await?;
    assert!(waiting.await?.is_none());
    stage.is_clean().await?;
    stage.end().await
}

/// By a direct connection, the client cancels the wait. Through a
/// pooler it can't, and releases what the wait wins in the end.
async fn leaves_the_line(site: &Site, stage: &Stage) -> anyhow::Result<()> {
    match site.statement_mode() {
        StatementMode::Unnamed => Ok(()),
        _ => stage.observer.until_no_acquire_runs().await,
    }
}

async fn acquire_that_waits_in_the_process(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    for when in [When::AfterPoll(1), When::BeforePollAfter(1)] {
        let held = stage.session.acquire(("volume", "v0")).await?.context("free")?;
        let waiting = stage.session.acquire(("volume", "v0")).wait(LONG).into_future();
        // A task of its own, which is polled only after its future was woken.
        let waiting = tokio::spawn(Polls::of(waiting, when));
        tokio::task::yield_now().await;
        assert!(held.release().await?);
        assert!(waiting.await?.is_none());
        stage.is_clean().await?;
    }
    stage.end().await
}

async fn acquire_all(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    everywhere(async |place| {
        let keys = ["v2", "v0", "v1"].map(|key| ("volume", key));
        let set = stage.run(place, stage.session.acquire(keys).into_future()).await;
        let ended = set.is_some();
        if let Some(set) = set {
            set?.context("no other session wants them")?.release().await?;
        }
        stage.is_clean().await?;
        Ok(ended)
    })
    .await?;
    stage.end().await
}

async fn release(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    everywhere(async |place| {
        let lock = stage.session.acquire(("volume", "v0")).await?.context("free")?;
        let ended = stage.run(place, lock.release()).await.transpose()?;
        stage.is_clean().await?;
        Ok(ended.is_some())
    })
    .await?;
    stage.end().await
}

async fn release_all(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    everywhere(async |place| {
        let mut locks = Vec::new();
        for key in ["v0", "v1", "v2"] {
            locks.push(stage.session.acquire(("volume", key)).await?.context("free")?);
        }
        let ended = stage.run(place, stage.session.release_all(locks)).await.transpose()?;
        stage.is_clean().await?;
        Ok(ended.is_some())
    })
    .await?;
    stage.end().await
}

/// The status may have been set or not; the lock is held all the same, and can be released.
async fn set_status(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site).await?;
    everywhere(async |place| {
        let lock = stage.session.acquire(("volume", "v0")).await?.context("free")?;
        let ended = stage.run(place, lock.set_status(Some("extending"))).await.transpose()?;
        lock.assert_held().await?;
        assert!(lock.release().await?);
        stage.is_clean().await?;
        Ok(ended.is_some())
    })
    .await?;
    stage.end().await
}

/// It leaves at most a service, which never sends a heartbeat, and which the next start fences.
async fn start(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let proxy = Proxy::in_front_of(site.port()).await?;
    everywhere(async |place| {
        let session = run(&proxy, place, connect(site, &proxy)).await.transpose()?;
        let ended = session.is_some();
        drop(session);
        observer.until_disconnected(SETTLED).await?;
        let again = connect(site, &proxy).await?;
        let alive = "SELECT count(*) FROM volguard.service_status WHERE state = 'up'";
        assert_eq!(observer.sql().number(alive).await?, Some(1));
        again.acquire(("volume", "v0")).await?.context("free")?.release().await?;
        again.stop().await?;
        Ok(ended)
    })
    .await?;
    observer.until_settled(SETTLED).await
}

/// It goes on in the background: the service is gone, and with it its lock.
async fn stop(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let proxy = Proxy::in_front_of(site.port()).await?;
    everywhere(async |place| {
        let session = connect(site, &proxy).await?;
        let lock = session.acquire(("volume", "v0")).await?.context("free")?;
        let ended = run(&proxy, place, session.clone().stop()).await.transpose()?;
        if place.is_before_the_start() {
            lock.release().await?;
            session.stop().await?;
        } else {
            assert_eq!(session.lost().await, Loss::Stopped);
            drop((lock, session));
        }
        observer.until_settled(SETTLED).await?;
        observer.until_disconnected(SETTLED).await?;
        Ok(ended.is_some())
    })
    .await
}

/// The case that the client prevents: a statement that was sent, and whose answer is never read.
#[tokio::test]
async fn without_the_client_a_dropped_acquire_leaves_its_lock() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    let sent = Polls::of(sql.acquire(service, "v0", Duration::ZERO), When::AfterPoll(1));
    assert!(sent.await.is_none());
    // The answer to this statement comes after the answer to the dropped one.
    sql.run("SELECT 1").await?;
    let settled = site.observer().await?.until_settled(Duration::from_millis(500)).await;
    assert!(matches!(Violation::expected_in(settled), Violation::LeftBehind(_)));
    Ok(())
}
