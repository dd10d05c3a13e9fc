//! Connections that break: before the statement arrives, after its commit, in the middle of the reply.

use std::time::Duration;

use anyhow::Context;
use uuid::Uuid;
use volguard::{Lock, Session};
use volguard_tests::scenario::{Cut, Observer, Proxy, Route, Site, Sql, Violation};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(20);

/// A reply to `acquire` has some 60 bytes: lost whole, cut in its head, cut in the row.
const CUTS: [Cut; 4] = [
    Cut::Request,
    Cut::Reply { keep: 0 },
    Cut::Reply { keep: 3 },
    Cut::Reply { keep: 40 },
];

by_both_routes!(
    an_acquire_is_repeated_by_its_request_id,
    a_repeated_acquire_that_still_waits,
    a_release_is_repeated,
    the_client_repeats_an_acquire,
    the_client_repeats_a_release,
    the_client_starts_again,
);

async fn locks(observer: &Observer) -> anyhow::Result<Vec<i64>> {
    let rows = observer
        .sql()
        .rows("SELECT token FROM volguard.lock_status")
        .await?;
    let tokens = rows.into_iter().flatten().flatten();
    Ok(tokens
        .map(|token| token.parse())
        .collect::<Result<_, _>>()?)
}

fn acquire(service: i64, request: Uuid, wait: Duration) -> String {
    let wait = wait.as_millis();
    format!(
        "SELECT volguard.acquire({service}, 'volume', 'v0', wait => '{wait} ms', request_id => '{request}')"
    )
}

/// As any program that has lost its connection would: connect, and say the same again.
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
            return Err(Violation::TwoHolders {
                key: "v0".to_owned(),
                tokens,
            }
            .into());
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

/// The first try is still in line on the server, where nobody has noticed that its client is gone; it will win.
async fn a_repeated_acquire_that_still_waits(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let unlucky = Sql::connect(&site.url_by_port(proxy.port())).await?;
    let observer = site.observer().await?;
    let (holder, again) = (site.sql().await?, site.sql().await?);
    let other = holder.register("holder", LEASE).await?;
    let token = holder
        .acquire(other, "v0", Duration::ZERO)
        .await?
        .context("free")?;
    let service = again.register("a", LEASE).await?;
    let statement = acquire(service, Uuid::new_v4(), LONG);

    proxy.cut(0, Cut::Reply { keep: 0 });
    let first = {
        let statement = statement.clone();
        tokio::spawn(async move { unlucky.number(&statement).await })
    };
    observer.until_asleep(1).await?;
    let second =
        tokio::spawn(async move { again.number(&statement).await.map(|won| (again, won)) });
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
        let token = sql
            .acquire(service, "v0", Duration::ZERO)
            .await?
            .context("free")?;
        proxy.cut(0, cut);
        assert!(unlucky.release(token).await.is_err(), "{cut:?}");
        assert_eq!(sql.release(token).await?, cut == Cut::Request, "{cut:?}");
        observer.until_settled(SETTLED).await?;
    }
    Ok(())
}

/// A session whose connections all go through a proxy, with one that is open and warm.
async fn session(site: &Site, proxy: &Proxy) -> anyhow::Result<Session> {
    let volguard = site
        .builder()
        .url(&site.url_by_port(proxy.port()))
        .pool_size(2)
        .connect()
        .await?;
    let session = volguard.register("a", "cut").lease(LEASE).start().await?;
    let lock = session.acquire("volume", "v0").await?.context("free")?;
    lock.release().await?;
    Ok(session)
}

/// Cuts one request after the other, until there is none left to cut.
async fn cut_everywhere(
    proxy: &Proxy,
    mut act: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for cut in CUTS {
        for request in 0.. {
            proxy.cut(request, cut);
            act()
                .await
                .with_context(|| format!("{cut:?} at request {request}"))?;
            if !proxy.has_struck() {
                anyhow::ensure!(request > 0, "nothing went through the proxy");
                break;
            }
        }
    }
    Ok(())
}

async fn the_client_repeats_an_acquire(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let session = session(site, &proxy).await?;
    let observer = site.observer().await?;
    for cut in CUTS {
        proxy.cut(0, cut);
        let lock = session.acquire("volume", "v0").wait(LONG).await?;
        assert!(proxy.has_struck());
        holds_exactly(&observer, lock.as_ref()).await?;
        lock.context("held")?.release().await?;
        observer.until_settled(SETTLED).await?;
    }
    Ok(())
}

async fn holds_exactly(observer: &Observer, lock: Option<&Lock>) -> anyhow::Result<()> {
    let lock = lock.context("nobody else wants it")?;
    let held = locks(observer).await?;
    if held != [lock.token()] {
        let left = format!("{held:?} instead of {}", lock.token());
        return Err(Violation::LeftBehind(left).into());
    }
    Ok(())
}

/// Whether or not the caller is told of the broken connection, the lock is free in the end.
async fn the_client_repeats_a_release(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let session = session(site, &proxy).await?;
    let observer = site.observer().await?;
    let other = site
        .volguard()
        .await?
        .register("b", "cut")
        .lease(LEASE)
        .start()
        .await?;
    for cut in CUTS {
        let lock = session
            .acquire("volume", "v0")
            .wait(LONG)
            .await?
            .context("free")?;
        proxy.cut(0, cut);
        // `Err` says that it goes on in the background.
        let _ = lock.release().await;
        assert!(proxy.has_struck());
        let lock = other.acquire("volume", "v0").wait(LONG).await?;
        lock.context("the lock becomes free")?.release().await?;
        observer.until_settled(SETTLED).await?;
    }
    Ok(())
}

/// A start that fails leaves at most a service without locks, which the next start replaces.
async fn the_client_starts_again(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let url = site.url_by_port(proxy.port());
    let observer = site.observer().await?;
    cut_everywhere(&proxy, async || {
        // The pool is a new one each time, so that logging in is cut as well.
        let builder = site.builder().url(&url).pool_size(2);
        let started = async {
            let volguard = builder.connect().await?;
            volguard.register("a", "cut").lease(LEASE).start().await
        };
        if started.await.is_err() {
            let again = site.volguard().await?.register("a", "cut").start().await?;
            anyhow::ensure!(!again.is_lost());
        }
        let alive = "SELECT count(*) FROM volguard.service_status WHERE state = 'up'";
        assert_eq!(observer.sql().number(alive).await?, Some(1));
        observer.until_disconnected(SETTLED).await
    })
    .await
}

/// That the look for leftovers finds one.
#[tokio::test]
async fn a_lock_that_nobody_knows_of_is_noticed() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let proxy = Proxy::in_front_of(site.port()).await?;
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    let unlucky = Sql::connect(&site.url_by_port(proxy.port())).await?;
    proxy.cut(0, Cut::Reply { keep: 0 });
    assert!(
        unlucky
            .acquire(service, "v0", Duration::ZERO)
            .await
            .is_err()
    );
    let settled = site
        .observer()
        .await?
        .until_settled(Duration::from_millis(500))
        .await;
    assert!(matches!(
        Violation::expected_in(settled),
        Violation::LeftBehind(_)
    ));
    Ok(())
}
