//! The same with the client crate, which asks again by itself.

use std::time::Duration;

use anyhow::Context;
use volguard::{Lock, Session};
use volguard_tests::scenario::{Direction, Observer, Proxy, Site, Violation};

use super::{CUTS, LEASE, LONG, SETTLED, locks};

by_both_routes!(
    the_client_repeats_an_acquire,
    the_client_repeats_an_acquire_of_several,
    the_client_repeats_what_it_repeats,
    the_client_repeats_a_release,
    the_client_starts_again,
);

/// A session whose connections all go through a proxy, and which sends nothing by itself.
async fn session(site: &Site, proxy: &Proxy) -> anyhow::Result<Session> {
    let volguard = site.builder().url(&site.url_by_port(proxy.port())).pool_size(2).connect().await?;
    let registration = volguard.register("a", "cut").lease(LEASE).janitor(None);
    Ok(registration.await?)
}

/// One lock, or several at once.
async fn take(session: &Session, keys: &[&str], wait: Duration) -> Result<Option<Lock>, volguard::Error> {
    let keys: Vec<_> = keys.iter().map(|key| ("volume", *key)).collect();
    session.acquire(keys).wait(wait).await
}

/// The client was told of its locks, and of all of them.
async fn holds_exactly(observer: &Observer, told: Option<Lock>) -> anyhow::Result<Lock> {
    let Some(lock) = told else {
        let lock = "a request that the client repeats does not find its own lock";
        return Err(Violation::Forgotten(lock.to_owned()).into());
    };
    let (mut told, mut held) = (lock.tokens(), locks(observer).await?);
    told.sort_unstable();
    held.sort_unstable();
    if held != told {
        let left = format!("{held:?}, of which the client was told {told:?}");
        return Err(Violation::LeftBehind(left).into());
    }
    Ok(lock)
}

async fn is_repeated(site: &Site, keys: &[&str], wait: Duration) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let observer = site.observer().await?;
    for cut in CUTS {
        // A session that has lost an answer asks in the background, which the next cut could hit instead of the call.
        let session = session(site, &proxy).await?;
        // Leaves an open connection with the prepared statement: so the cut hits the call itself.
        let before = take(&session, keys, LONG).await?.context("free")?;
        before.release().await?;
        proxy.cut(0, cut);
        let taken = take(&session, keys, wait).await?;
        assert!(proxy.has_struck());
        assert!(holds_exactly(&observer, taken).await?.release().await?);
        session.stop().await?;
        observer.until_settled(SETTLED).await?;
        // The next cut could hit the farewell of a connection.
        observer.until_disconnected(SETTLED).await?;
    }
    Ok(())
}

async fn the_client_repeats_an_acquire(site: &Site) -> anyhow::Result<()> {
    is_repeated(site, &["v0"], LONG).await
}

async fn the_client_repeats_an_acquire_of_several(site: &Site) -> anyhow::Result<()> {
    is_repeated(site, &["v1", "v0"], LONG).await
}

/// The repeated call takes its own lock for that of another. When its wait is over, the session gives the lock back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_request_id_a_lost_answer_is_a_lost_lock() -> anyhow::Result<()> {
    for keys in [&["v0"][..], &["v1", "v0"]] {
        let site = Site::without("RequestId")?;
        let soon = Duration::from_millis(100);
        let violation = Violation::expected_in(is_repeated(&site, keys, soon).await);
        assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
        site.observer().await?.until_settled(SETTLED).await?;
    }
    Ok(())
}

/// Cut after this many bytes in one direction, and once more after
/// the same number: when it asks again, or logs in to do so.
async fn the_client_repeats_what_it_repeats(site: &Site) -> anyhow::Result<()> {
    const STEP: usize = 15;
    let proxy = Proxy::in_front_of(site.port()).await?;
    let observer = site.observer().await?;
    for direction in [Direction::Request, Direction::Reply] {
        for after in (0..).step_by(STEP) {
            // As above.
            let session = session(site, &proxy).await?;
            let before = take(&session, &["v0"], LONG).await?.context("free")?;
            before.release().await?;
            proxy.cut_within(direction, after, 2);
            let taken = take(&session, &["v0"], LONG).await;
            let struck = proxy.has_struck();
            proxy.resume();
            let taken = taken.with_context(|| format!("{direction:?} after {after}"))?;
            assert!(holds_exactly(&observer, taken).await?.release().await?);
            session.stop().await?;
            observer.until_settled(SETTLED).await?;
            if !struck {
                anyhow::ensure!(after > 0, "nothing went through the proxy");
                break;
            }
        }
    }
    Ok(())
}

/// Whether the caller gets the connection error or not, the lock is free in the end.
async fn the_client_repeats_a_release(site: &Site) -> anyhow::Result<()> {
    let proxy = Proxy::in_front_of(site.port()).await?;
    let session = session(site, &proxy).await?;
    let observer = site.observer().await?;
    let other = site.volguard().await?.register("b", "cut").lease(LEASE).await?;
    for cut in CUTS {
        let lock = session.acquire(("volume", "v0")).wait(LONG).await?.context("free")?;
        proxy.cut(0, cut);
        // `Err` says that it goes on in the background.
        let _ = lock.release().await;
        assert!(proxy.has_struck());
        let lock = other.acquire(("volume", "v0")).wait(LONG).await?;
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
        // The pool is a new one each time, so that the login is cut as well.
        let builder = site.builder().url(&url).pool_size(2);
        let started = async {
            let volguard = builder.connect().await?;
            volguard.register("a", "cut").lease(LEASE).await
        };
        if started.await.is_err() {
            let again = site.volguard().await?.register("a", "cut").await?;
            anyhow::ensure!(again.loss().is_none());
        }
        let alive = "SELECT count(*) FROM volguard.service_status WHERE state = 'up'";
        assert_eq!(observer.sql().number(alive).await?, Some(1));
        observer.until_disconnected(SETTLED).await
    })
    .await
}

/// Cuts one request after the other, until there is none left to cut.
async fn cut_everywhere(proxy: &Proxy, mut act: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for cut in CUTS {
        for request in 0.. {
            proxy.cut(request, cut);
            act().await.with_context(|| format!("{cut:?} at request {request}"))?;
            if !proxy.has_struck() {
                anyhow::ensure!(request > 0, "nothing went through the proxy");
                break;
            }
        }
    }
    Ok(())
}
