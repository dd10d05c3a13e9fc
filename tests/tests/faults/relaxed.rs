//! Releases that don't wait for the disk, and a server that crashes before they get there. Each test has a server of its
//! own.

mod holder;
mod stand;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use volguard_tests::PrivateServer;
use volguard_tests::scenario::{Ledger, Route, Violation, furnish, until};

use self::holder::{Holder, released};
use self::stand::Stand;
use super::server::{manager, power_failure};

/// A heartbeat every 5 seconds: longer than a crash and the restart after it.
const LEASE: Duration = Duration::from_secs(15);
const LONG: Duration = Duration::from_secs(30);
/// From a heartbeat to the end of what it sets off.
const SETTLED: Duration = Duration::from_secs(2);
/// Fewer than fill a page of the log: the log writer would write that out.
const LOCKS: usize = 12;

/// What a crash has undone is done again once a heartbeat succeeds.
async fn looked_after(stand: &mut Stand, holder: &Holder) -> anyhow::Result<()> {
    stand
        .crash_after(async || holder.take_and_release().await)
        .await?;
    let superuser = stand.superuser().await?;
    let heartbeat = format!(
        "SELECT heartbeat_at > pg_postmaster_start_time() FROM volguard.services WHERE service_id = {}",
        holder.service()
    );
    until("a heartbeat after the crash", async || {
        Ok(superuser.holds(&heartbeat).await?.then_some(()))
    })
    .await?;
    let deadline = Instant::now() + SETTLED;
    loop {
        let left = stand.left().await?;
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let left = format!("{left} released locks that a crash brought back");
            return Err(Violation::LeftBehind(left).into());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn what_a_crash_brings_back_goes(route: Route) -> anyhow::Result<()> {
    let mut stand = Stand::new(route)?;
    let session = stand.session("client").await?;
    let kept = session.acquire("volume", "kept").await?.context("free")?;
    let holder = Holder::Client(session.clone());
    looked_after(&mut stand, &holder).await?;
    kept.assert_held().await?;
    assert!(kept.release().await?);
    let again = session.acquire("volume", &released(0)).await?;
    again
        .context("free for ourselves as well")?
        .release()
        .await?;
    session.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_brings_back_goes_direct() -> anyhow::Result<()> {
    what_a_crash_brings_back_goes(Route::Direct).await
}

/// The connections to the pooler outlive the crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_brings_back_goes_pooled() -> anyhow::Result<()> {
    what_a_crash_brings_back_goes(Route::Pooled).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_second_release_it_stays() -> anyhow::Result<()> {
    let mut stand = Stand::new(Route::Direct)?;
    let holder = Holder::forgetful(&stand).await?;
    let violation = Violation::expected_in(looked_after(&mut stand, &holder).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// A lock with work in it would otherwise be left to cleanup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_looks_after_it_as_well() -> anyhow::Result<()> {
    let mut stand = Stand::new(Route::Direct)?;
    let session = stand.session("client").await?;
    let work = async || {
        let lock = session.acquire("volume", &released(0)).status("busy");
        assert!(lock.wait(LONG).await?.context("free")?.release().await?);
        Ok(())
    };
    stand.crash_after(work).await?;
    assert_eq!(session.stop().await?, 0);
    assert_eq!(stand.left().await?, 0);
    Ok(())
}

/// To the server it is the request that has its lock already, which the session is about to release again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_that_is_used_again_gets_no_lock_that_is_to_go() -> anyhow::Result<()> {
    let mut stand = Stand::new(Route::Direct)?;
    let session = stand.session("client").await?;
    let id = Uuid::new_v4();
    let acquire = || session.acquire("volume", "released-0").request_id(id);
    let mut last = 0;
    let work = async || {
        let lock = acquire().wait(LONG).await?.context("free")?;
        last = lock.token();
        assert!(lock.release().await?);
        Ok(())
    };
    stand.crash_after(work).await?;
    let again = acquire().await?;
    assert!(again.is_none_or(|again| again.token() > last));
    let again = acquire().wait(LONG).await?.context("free")?;
    assert!(again.token() > last);
    assert!(again.release().await?);
    session.stop().await?;
    Ok(())
}

/// The commit that is relaxed is the release's own: nothing of it stays on the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_releases_are_relaxed() -> anyhow::Result<()> {
    for route in [Route::Direct, Route::Pooled] {
        let stand = Stand::new(route)?;
        let volguard = stand.builder().pool_size(2).connect().await?;
        let registration = volguard.register("a", "relaxed").relaxed_release(true);
        let session = registration.start().await?;
        session
            .acquire("volume", "v0")
            .await?
            .context("free")?
            .release()
            .await?;
        let client = volguard.pool().get().await?;
        let rows = client.query_typed("SHOW synchronous_commit", &[]).await?;
        assert_eq!(rows[0].try_get::<_, &str>(0)?, "on", "{route:?}");
    }
    Ok(())
}

/// Two services of four tasks each, that take turns while the server crashes. The ledger is on a server that doesn't.
async fn nobody_ever_holds_twice(route: Route) -> anyhow::Result<()> {
    const CRASHES: usize = 2;
    const TURNS: u64 = 150;
    let mut stand = Stand::new(route)?;
    let books = PrivateServer::builder().durable(false).start()?;
    furnish(&books)?;
    let keys: Vec<String> = (0..3).map(|number| format!("v{number}")).collect();
    let ledger = Ledger::open(&manager(&books)).await?;
    ledger.add(&keys).await?;

    let (over, turns) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let sessions = [stand.session("a").await?, stand.session("b").await?];
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let (session, keys) = (sessions[number % 2].clone(), keys.clone());
        let (over, turns) = (Arc::clone(&over), Arc::clone(&turns));
        let ledger = Ledger::open(&manager(&books)).await?;
        tasks.spawn(async move {
            for key in keys.iter().cycle().skip(number) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let lock = match session.acquire("volume", key).wait(LONG).await {
                    Ok(lock) => lock.context("not free in time")?,
                    Err(error) if error.is_retryable() => {
                        sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                ledger.visit(key, lock.token()).await?;
                // Whatever it says: it goes on in the background.
                let _ = lock.release().await;
                turns.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let progress = async || {
        let enough = turns.load(Ordering::Relaxed) + TURNS;
        until("turns", async || {
            Ok((turns.load(Ordering::Relaxed) >= enough).then_some(()))
        })
        .await
    };
    for _ in 0..CRASHES {
        progress().await?;
        power_failure(&mut stand.server)?;
    }
    progress().await?;
    over.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    assert!(ledger.audit().await? >= TURNS * (CRASHES as u64 + 1));
    for session in sessions {
        session.stop().await?;
    }
    let left = "SELECT count(*) FROM volguard.workers";
    assert_eq!(stand.superuser().await?.number(left).await?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ever_holds_twice_direct() -> anyhow::Result<()> {
    nobody_ever_holds_twice(Route::Direct).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ever_holds_twice_pooled() -> anyhow::Result<()> {
    nobody_ever_holds_twice(Route::Pooled).await
}
