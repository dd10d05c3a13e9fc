//! Waiting behind a transaction that has taken or released the lock, and may still be rolled back.

use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use volguard_tests::scenario::{Route, Site, Violation, sqlstate};

use crate::waiting::{Waiter, Waiting};

const LONG: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(30);

by_both_routes!(an_open_acquire_that_commits, an_open_acquire_that_rolls_back, an_open_release_that_rolls_back,);

/// One waiter behind an open transaction that has taken the lock.
async fn behind_an_open_acquire(site: &Site) -> anyhow::Result<(Waiter, i64, Waiting)> {
    let holder = Waiter::new(site, "a").await?;
    holder.sql.run("BEGIN").await?;
    let token = holder.must_acquire().await?;
    let waiting = Waiter::new(site, "b").await?.wait(LONG);
    site.observer().await?.until_queued(1).await?;
    Ok((holder, token, waiting))
}

async fn an_open_acquire_that_commits(site: &Site) -> anyhow::Result<()> {
    let (holder, token, waiting) = behind_an_open_acquire(site).await?;
    holder.sql.run("COMMIT").await?;
    site.observer().await?.until_asleep(1).await?;
    holder.sql.release(token).await?;
    served(site, waiting, token).await
}

async fn an_open_acquire_that_rolls_back(site: &Site) -> anyhow::Result<()> {
    let (holder, token, waiting) = behind_an_open_acquire(site).await?;
    holder.sql.run("ROLLBACK").await?;
    served(site, waiting, token).await?;
    // A token that was handed out is never handed out again, even after a rollback.
    assert!(!holder.sql.release(token).await?);
    Ok(())
}

async fn an_open_release_that_rolls_back(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = Waiter::new(site, "a").await?;
    let token = holder.must_acquire().await?;
    holder.sql.run("BEGIN").await?;
    holder.sql.release(token).await?;
    let waiting = Waiter::new(site, "b").await?.wait(LONG);
    observer.until_in_queue(1).await?;
    holder.sql.run("ROLLBACK").await?;
    observer.until_asleep(1).await?;
    assert!(holder.sql.release(token).await?, "it is still held");
    served(site, waiting, token).await
}

/// The waiter gets the lock, with a larger token.
async fn served(site: &Site, waiting: Waiting, earlier: i64) -> anyhow::Result<()> {
    let (waiter, won, _) = timeout(LONG, waiting).await??;
    let later = won?.context("in time")?;
    if later <= earlier {
        let key = "v0".to_owned();
        return Err(Violation::TokenWentBack { key, earlier, later }.into());
    }
    waiter.sql.release(later).await?;
    site.observer().await?.until_settled(SETTLED).await
}

/// Two transactions take two locks each, in opposite order: Postgres breaks the deadlock, and one of them goes on.
#[tokio::test]
async fn a_deadlock_of_two_transactions_is_broken() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (one, other) = (Waiter::new(&site, "a").await?, Waiter::new(&site, "b").await?);
    for (waiter, key) in [(&one, "v1"), (&other, "v2")] {
        waiter.sql.run("BEGIN").await?;
        waiter.sql.acquire(waiter.service, key, LONG).await?.context("free")?;
    }
    // The transaction that gets the deadlock error has to roll back before the other one can go on.
    let cross = async |waiter: &Waiter, key| {
        let won = waiter.sql.acquire(waiter.service, key, LONG).await;
        let end = if won.is_ok() { "COMMIT" } else { "ROLLBACK" };
        waiter.sql.run(end).await.map(|()| won)
    };
    let (first, second) = tokio::try_join!(cross(&one, "v2"), cross(&other, "v1"))?;
    let ((Err(error), Ok(Some(_))) | (Ok(Some(_)), Err(error))) = (first, second) else {
        anyhow::bail!("one of the two should have got both locks");
    };
    assert_eq!(sqlstate(&error), "40P01");
    Ok(())
}
