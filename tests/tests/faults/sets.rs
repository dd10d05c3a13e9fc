//! Several locks at once, requested by many: all or none, no deadlock, and every call gets its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use volguard_tests::scenario::{Ledger, Route, Site, Sql, Violation, sqlstate, until};

/// Longer than any of these tests takes: their services send no heartbeats.
const LEASE: Duration = Duration::from_secs(300);
const WAIT: Duration = Duration::from_secs(120);
const SETTLED: Duration = Duration::from_secs(30);

by_both_routes!(overlapping_sets, hot_keys_together, holders_that_die, waiters_that_leave, a_counter_that_fell_back,);

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("v{number}")).collect()
}

/// Some of the keys in some order; both differ between callers.
fn shuffled(keys: &[String], caller: usize, round: usize) -> Vec<String> {
    // The lowest bits of a linear congruence repeat soon.
    let mut state = (caller * 7919 + round * 104_729) as u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut keys = keys.to_vec();
    for at in (1..keys.len()).rev() {
        keys.swap(at, random(at + 1));
    }
    keys.truncate(1 + random(4));
    keys
}

/// A deadlock is what the server reports as one.
fn judged(error: tokio_postgres::Error) -> anyhow::Error {
    match &*sqlstate(&error) {
        "40P01" => Violation::Deadlock(error.to_string()).into(),
        _ => error.into(),
    }
}

/// Many callers take sets that overlap, each in its own order, and visit what they hold.
async fn overlapping_sets(site: &Site) -> anyhow::Result<()> {
    const CALLERS: usize = 8;
    const ROUNDS: usize = 25;
    let keys = keys(6);
    let ledger = Ledger::open(&site.url()).await?;
    ledger.add(&keys).await?;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (sql, own) = (site.sql().await?, Ledger::open(&site.url()).await?);
        let service = sql.register(&format!("node-{caller}"), LEASE).await?;
        let keys = keys.clone();
        callers.spawn(async move {
            let mut visits = 0;
            for round in 0..ROUNDS {
                let set = shuffled(&keys, caller, round);
                visits += visit_all(&sql, service, &own, &set).await?;
            }
            anyhow::Ok(visits)
        });
    }
    let mut visits = 0;
    while let Some(caller) = callers.join_next().await {
        visits += caller??;
    }
    assert_eq!(ledger.audit().await?, visits);
    site.observer().await?.until_settled(SETTLED).await
}

async fn visit_all(sql: &Sql, service: i64, ledger: &Ledger, set: &[String]) -> anyhow::Result<u64> {
    let held = sql.acquire_all(service, set, WAIT).await.map_err(judged)?;
    anyhow::ensure!(!held.is_empty(), "not free in time");
    assert!(held.iter().map(|(key, _)| key).eq(set), "{held:?}");
    for (key, token) in &held {
        ledger.visit(key, *token).await?;
    }
    let tokens: Vec<String> = held.iter().map(|(_, token)| token.to_string()).collect();
    let release = format!("SELECT volguard.release_all('{{{}}}')", tokens.join(","));
    let released = sql.number(&release).await?;
    anyhow::ensure!(released == Some(held.len() as i64), "a lock was gone");
    Ok(held.len() as u64)
}

/// Each waits at the head of some of its wait queues, from the
/// start. With one order for all there is no circle in that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_nothing_up_keeps_the_order() -> anyhow::Result<()> {
    overlapping_sets(&Site::without("GiveWay")?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_order_there_are_deadlocks() -> anyhow::Result<()> {
    let site = Site::without("GiveWay,QueueOrder")?;
    let violation = Violation::expected_in(overlapping_sets(&site).await);
    assert!(matches!(violation, Violation::Deadlock(_)), "{violation}");
    Ok(())
}

/// Two inserts at once are rare. A trigger makes them certain: it holds each transaction, once, until the next full
/// second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_line_and_the_primary_key_two_hold() -> anyhow::Result<()> {
    let site = Site::without("WaitQueue")?;
    site.psql(
        "ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey;
         CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
             'DECLARE
                  this text := pg_current_xact_id();
              BEGIN
                  IF current_setting(''app.dawdled'', true) IS DISTINCT FROM this THEN
                      PERFORM set_config(''app.dawdled'', this, true);
                      PERFORM pg_sleep((1 - extract(epoch FROM clock_timestamp()) % 1)::float8);
                  END IF;
                  RETURN NULL;
              END';
         CREATE TRIGGER dawdle AFTER INSERT ON volguard.workers FOR EACH ROW EXECUTE FUNCTION app.dawdle()",
    )?;
    let violation = Violation::expected_in(overlapping_sets(&site).await);
    // Of two that hold at once, the one with the larger token may be done with its visit before the other begins.
    let two = matches!(violation, Violation::TwoHolders { .. } | Violation::TokenWentBack { .. });
    assert!(two, "{violation}");
    Ok(())
}

/// Two keys that are never free, since several callers hand each of them on, and one caller
/// that needs both. The test counts what others get meanwhile, not the time that it takes.
async fn hot_keys_together(site: &Site) -> anyhow::Result<()> {
    const VISITORS: usize = 4;
    const TURNS: usize = 300;
    const LEAST: usize = 10;
    let keys = keys(2);
    let all_are_there = Arc::new(AtomicBool::new(true));
    let mut visitors = JoinSet::new();
    for (number, key) in keys.iter().cycle().take(2 * VISITORS).enumerate() {
        let (sql, key, all_are_there) = (site.sql().await?, key.clone(), all_are_there.clone());
        let service = sql.register(&format!("visitor-{number}"), LEASE).await?;
        visitors.spawn(async move {
            for _ in 0..TURNS {
                let token = sql.acquire(service, &key, WAIT).await?.context("in time")?;
                sql.release(token).await?;
            }
            all_are_there.store(false, Ordering::Relaxed);
            anyhow::Ok(())
        });
    }
    let sql = site.sql().await?;
    let service = sql.register("both", LEASE).await?;
    let mut served = 0;
    while all_are_there.load(Ordering::Relaxed) {
        let held = sql.acquire_all(service, &keys, WAIT).await?;
        anyhow::ensure!(!held.is_empty(), "not free in time");
        served += usize::from(all_are_there.load(Ordering::Relaxed));
        for (_, token) in held {
            sql.release(token).await?;
        }
    }
    while let Some(visitor) = visitors.join_next().await {
        visitor??;
    }
    if served < LEAST {
        return Err(Violation::Starved { served, others: TURNS }.into());
    }
    site.observer().await?.until_settled(SETTLED).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_insisting_it_starves() -> anyhow::Result<()> {
    let site = Site::without("Insist")?;
    let violation = Violation::expected_in(hot_keys_together(&site).await);
    let starved = matches!(violation, Violation::Starved { .. });
    assert!(starved, "{violation}");
    Ok(())
}

/// The holders of two locks die one after the other; a waiter for both gets them when the second lease is over.
async fn holders_that_die(site: &Site) -> anyhow::Result<()> {
    const FIRST: Duration = Duration::from_millis(800);
    const SECOND: Duration = Duration::from_millis(1600);
    /// The limit for a wake-up at the end of a lease.
    const GRACE: Duration = Duration::from_secs(1);
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    let patient = sql.register("patient", LEASE).await?;
    let keys = keys(3);
    let mut took = Duration::MAX;
    // The machine may be busy with other work, but not three times.
    for round in 0..3 {
        let first = sql.register(&format!("first-{round}"), LEASE).await?;
        let second = sql.register(&format!("second-{round}"), LEASE).await?;
        for (service, key) in [(first, &keys[0]), (second, &keys[2])] {
            sql.acquire(service, key, LEASE).await?.context("free")?;
        }
        observer.end_lease_in(first, FIRST).await?;
        observer.end_lease_in(second, SECOND).await?;
        let held = sql.acquire_all(patient, &keys, WAIT).await?;
        assert_eq!(held.len(), keys.len());
        for (_, token) in &held {
            observer.lateness(first, *token).await?;
            took = took.min(observer.lateness(second, *token).await?);
        }
        for (_, token) in held {
            assert!(sql.release(token).await?);
        }
    }
    if took > GRACE {
        let (what, limit) = ("waiting for two dead holders", GRACE);
        return Err(Violation::Late { what, took, limit }.into());
    }
    observer.until_settled(SETTLED).await
}

/// Waiters are terminated and cancelled while they wait for a lock, or behind another waiter.
async fn waiters_that_leave(site: &Site) -> anyhow::Result<()> {
    let keys = keys(3);
    let sql = site.sql().await?;
    let holder = sql.register("holder", LEASE).await?;
    let token = sql.acquire(holder, &keys[1], LEASE).await?.context("free")?;
    let mut waiters = JoinSet::new();
    for number in 0..4 {
        let (waiter, keys) = (site.sql().await?, keys.clone());
        let service = waiter.register(&format!("waiter-{number}"), LEASE).await?;
        waiters.spawn(async move { waiter.acquire_all(service, &keys, WAIT).await });
    }
    let observer = site.observer().await?;
    observer.until_in_queue(4).await?;
    // The head of a wait queue sleeps; a session behind it waits for a lock.
    for (left, leave, waits_for) in
        [(3, "terminate", "Extension"), (2, "cancel", "Lock"), (1, "terminate", "Extension")]
    {
        let leave = format!(
            "SELECT pg_{leave}_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = '{waits_for}'
               AND query LIKE '%volguard.acquire_all%' AND pid <> pg_backend_pid() LIMIT 1"
        );
        // A head that checks its row isn't asleep at that moment.
        until("a waiter that can leave", async || Ok(observer.sql().holds(&leave).await?.then_some(()))).await?;
        let left_by = waiters.join_next().await.context("a waiter")??;
        assert!(left_by.is_err(), "{left_by:?}");
        observer.until_in_queue(left).await?;
    }
    assert!(sql.release(token).await?);
    let held = waiters.join_next().await.context("the last waiter")???;
    for (_, token) in held {
        assert!(sql.release(token).await?);
    }
    observer.until_settled(SETTLED).await
}

/// The sequence was set back: a number that is in use fails an insert half way, and nothing of the call is left.
async fn a_counter_that_fell_back(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    let keys = keys(4);
    // Half a minute ahead of the clock, by which it is not moved.
    site.psql("SELECT setval('volguard.clock', last_value + (30::bigint << 22)) FROM volguard.clock")?;
    sql.acquire(service, "in-use", LEASE).await?.context("free")?;
    site.psql("SELECT setval('volguard.clock', last_value - 3) FROM volguard.clock")?;
    let refused = sql.acquire_all(service, &keys, Duration::ZERO).await;
    assert_eq!(sqlstate(&refused.unwrap_err()), "23505");
    let held = "SELECT count(*) FROM volguard.lock_status WHERE resource_id <> 'in-use'";
    assert_eq!(sql.number(held).await?, Some(0));
    // The numbers drawn in vain are used up.
    assert_eq!(sql.acquire_all(service, &keys, WAIT).await?.len(), 4);
    Ok(())
}

/// A refused call leaves nothing, and does not block the locks that it did not get.
#[tokio::test]
async fn a_refusal_leaves_nothing() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (sql, keys) = (site.sql().await?, keys(3));
    let holder = sql.register("holder", LEASE).await?;
    let token = sql.acquire(holder, &keys[1], LEASE).await?.context("free")?;
    let other = site.sql().await?;
    let service = other.register("other", LEASE).await?;
    other.run("BEGIN").await?;
    for wait in [Duration::ZERO, Duration::from_millis(50)] {
        assert!(other.acquire_all(service, &keys, wait).await?.is_empty());
    }
    // Its transaction is still open.
    let rest = [keys[0].clone(), keys[2].clone()];
    let held = sql.acquire_all(holder, &rest, Duration::ZERO).await?;
    assert_eq!(held.len(), 2);
    other.run("COMMIT").await?;
    for token in held.iter().map(|(_, token)| *token).chain([token]) {
        assert!(sql.release(token).await?);
    }
    site.observer().await?.until_settled(SETTLED).await
}
