//! Connections that break: before the statement arrives, after its commit, in the middle of the reply.

mod client;

use std::time::Duration;

use anyhow::Context;
use uuid::Uuid;
use volguard_tests::scenario::{Cut, Observer, Proxy, Route, Site, Sql, Violation};

/// No heartbeat is due while a test runs, which a cut could hit.
const LEASE: Duration = Duration::from_secs(3600);
const LONG: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(60);

/// A reply to `acquire` has some 50 bytes: lost completely, cut in its header, cut in the row.
const CUTS: [Cut; 4] = [Cut::Request, Cut::Reply { keep: 0 }, Cut::Reply { keep: 3 }, Cut::Reply { keep: 40 }];

by_both_routes!(an_acquire_is_repeated_by_its_request_id, a_repeated_acquire_that_still_waits, a_release_is_repeated,);

async fn locks(observer: &Observer) -> anyhow::Result<Vec<i64>> {
    let rows = observer.sql().rows("SELECT token FROM volguard.lock_status").await?;
    let tokens = rows.into_iter().flatten().flatten();
    Ok(tokens.map(|token| token.parse()).collect::<Result<_, _>>()?)
}

fn acquire(service: i64, request: Uuid, wait: Duration) -> String {
    let wait = wait.as_millis();
    format!("SELECT volguard.acquire({service}, 'volume', 'v0', wait => '{wait} ms', request_id => '{request}')")
}

/// As any program that has lost its connection does: connect, and send the same again.
async fn an_acquire_is_repeated_by_its_request_id(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let url = site.url_by_port(proxy.port());
    let observer = site.observer().await?;
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    for cut in CUTS {
        let unlucky = Sql::connect(&url).await?;
        let statement = acquire(service, Uuid::new_v4(), Duration::ZERO);
        proxy.cut(0, cut);
        assert!(unlucky.number(&statement).await.is_err(), "{cut:?}");
        assert!(proxy.has_struck());
        let held = locks(&observer).await?;
        assert_eq!(held.len(), usize::from(cut != Cut::Request), "{cut:?}");
        let Some(token) = sql.number(&statement).await? else {
            let lock = "a request that is repeated does not find its own lock";
            return Err(Violation::Forgotten(lock.to_owned()).into());
        };
        if !held.is_empty() && held != [token] {
            let tokens = [held[0], token];
            return Err(Violation::TwoHolders { key: "v0".to_owned(), tokens }.into());
        }
        assert_eq!(locks(&observer).await?, [token]);
        assert!(sql.release(token).await?);
    }
    Ok(())
}

#[tokio::test]
async fn without_the_request_id_a_repeated_acquire_finds_nothing() -> anyhow::Result<()> {
    let site = Site::without("RequestId")?;
    let violation = Violation::expected_in(an_acquire_is_repeated_by_its_request_id(&site).await);
    assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
    Ok(())
}

/// The first try is still in the wait queue, since the server has not noticed that its client is gone; it will win.
async fn a_repeated_acquire_that_still_waits(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let unlucky = Sql::connect(&site.url_by_port(proxy.port())).await?;
    let observer = site.observer().await?;
    let (holder, again) = (site.sql().await?, site.sql().await?);
    let other = holder.register("holder", LEASE).await?;
    let token = holder.acquire(other, "v0", Duration::ZERO).await?.context("free")?;
    let service = again.register("a", LEASE).await?;
    let statement = acquire(service, Uuid::new_v4(), LONG);

    proxy.cut(0, Cut::Reply { keep: 0 });
    let first = {
        let statement = statement.clone();
        tokio::spawn(async move { unlucky.number(&statement).await })
    };
    observer.until_asleep(1).await?;
    let second = tokio::spawn(async move { again.number(&statement).await.map(|won| (again, won)) });
    observer.until_queued(1).await?;
    holder.release(token).await?;
    let (again, won) = second.await??;
    assert!(first.await?.is_err(), "its reply was lost");
    let won = won.context("in time")?;
    assert_eq!(locks(&observer).await?, [won]);
    assert!(again.release(won).await?);
    observer.until_settled(SETTLED).await
}

async fn a_release_is_repeated(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let url = site.url_by_port(proxy.port());
    let observer = site.observer().await?;
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    for cut in CUTS {
        let unlucky = Sql::connect(&url).await?;
        let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
        proxy.cut(0, cut);
        assert!(unlucky.release(token).await.is_err(), "{cut:?}");
        assert_eq!(sql.release(token).await?, cut == Cut::Request, "{cut:?}");
        observer.until_settled(SETTLED).await?;
    }
    Ok(())
}

/// Shows that the check for leftovers finds one.
#[tokio::test]
async fn a_lock_left_behind_is_noticed() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let proxy = Proxy::in_front_of(site.port()).await?;
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    let unlucky = Sql::connect(&site.url_by_port(proxy.port())).await?;
    proxy.cut(0, Cut::Reply { keep: 0 });
    assert!(unlucky.acquire(service, "v0", Duration::ZERO).await.is_err());
    let settled = site.observer().await?.until_settled(Duration::from_millis(500)).await;
    assert!(matches!(Violation::expected_in(settled), Violation::LeftBehind(_)));
    Ok(())
}
