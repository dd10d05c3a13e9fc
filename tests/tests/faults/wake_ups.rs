//! Calls that wait for submitted work: woken at once, one after the other, and a burden to no other call.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use volguard_tests::scenario::{Site, Sql, Violation, until};

use crate::distribution::{furnish, manager, next, submit};

/// A wake-up takes a millisecond; this leaves room for a busy machine, but none for the poll of one second.
const WOKEN: Duration = Duration::from_millis(300);

by_both_routes!(
    a_submit_wakes_a_waiter,
    who_leaves_work_wakes_the_next,
    work_behind_a_taker_comes_when_it_is_due,
    a_waiter_holds_nothing,
);

/// A call that waits for work, in the background: the number of the work, and when it came.
fn wait_for_work(sql: Sql, service: i64) -> JoinHandle<anyhow::Result<(Sql, Option<i64>, Instant)>> {
    tokio::spawn(async move {
        let work = sql.number(&next(service, ", wait => '30 s'")).await?;
        Ok((sql, work, Instant::now()))
    })
}

/// Resolves when this many calls wait for work.
async fn until_waiting(site: &Site, calls: i64) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    observer.until_asleep(calls).await?;
    let count = "SELECT count(*) FROM volguard.waiters WHERE waits_for = 'work'";
    until("calls that wait for work", async || Ok((observer.sql().number(count).await? == Some(calls)).then_some(())))
        .await
}

/// Most wake-ups took no longer than they may. A thread may stand still at any point of a busy machine, but not in each
/// third of them.
fn in_time(what: &'static str, mut plays: Vec<Duration>) -> anyhow::Result<()> {
    plays.sort_unstable();
    match plays[plays.len() - 1 - plays.len() / 3] {
        took if took > WOKEN => Err(Violation::Late { what, took, limit: WOKEN }.into()),
        _ => Ok(()),
    }
}

async fn a_submit_wakes_a_waiter(site: &Site) -> anyhow::Result<()> {
    wakes(site, 20).await
}

async fn wakes(site: &Site, times: u32) -> anyhow::Result<()> {
    let (sql, mut waiter) = (site.sql().await?, site.sql().await?);
    let service = furnish(&sql).await?;
    let mut plays = Vec::new();
    for volume in 1..=times {
        let waiting = wait_for_work(waiter, service);
        until_waiting(site, 1).await?;
        let submitted = Instant::now();
        let work = sql.number(&submit(volume, "")).await?;
        let (sql, got, at) = waiting.await??;
        assert_eq!(got, work);
        plays.push(at.saturating_duration_since(submitted));
        waiter = sql;
    }
    in_time("waking a call that waits for work", plays)
}

#[tokio::test]
async fn without_the_bell_a_waiter_sleeps_on() -> anyhow::Result<()> {
    let violation = Violation::expected_in(wakes(&Site::without("Bell")?, 6).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    Ok(())
}

/// One commit rings once, for however much work.
async fn who_leaves_work_wakes_the_next(site: &Site) -> anyhow::Result<()> {
    passed_on(site, 8).await
}

async fn passed_on(site: &Site, times: u32) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let one = furnish(&sql).await?;
    let mut waiters = vec![(site.sql().await?, one)];
    for host in ["b", "c"] {
        let waiter = site.sql().await?;
        let service = manager(&waiter, host).await?;
        waiters.push((waiter, service));
    }
    let mut plays = Vec::new();
    for turn in 0..times {
        let waiting: Vec<_> =
            waiters.into_iter().map(|(sql, service)| (service, wait_for_work(sql, service))).collect();
        until_waiting(site, 3).await?;
        sql.run("BEGIN").await?;
        for volume in 1..=3 {
            sql.number(&submit(turn * 3 + volume, "")).await?.context("submitted")?;
        }
        let submitted = Instant::now();
        sql.run("COMMIT").await?;
        waiters = Vec::new();
        let mut last = submitted;
        for (service, waiting) in waiting {
            let (waiter, work, at) = waiting.await??;
            work.context("work")?;
            last = last.max(at);
            waiters.push((waiter, service));
        }
        plays.push(last - submitted);
    }
    in_time("passing a wake-up on", plays)
}

#[tokio::test]
async fn a_wake_up_that_is_not_passed_on_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(passed_on(&Site::without("PassOn")?, 4).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    Ok(())
}

/// The first work of the lane is due, and locked until its taker commits.
async fn work_behind_a_taker_comes_when_it_is_due(site: &Site) -> anyhow::Result<()> {
    due_behind_a_taker(site, 6).await
}

async fn due_behind_a_taker(site: &Site, times: u32) -> anyhow::Result<()> {
    const PAUSE: Duration = Duration::from_millis(300);
    let (sql, taker, mut waiter) = (site.sql().await?, site.sql().await?, site.sql().await?);
    let service = furnish(&sql).await?;
    let taking = manager(&taker, "b").await?;
    let mut plays = Vec::new();
    for volume in 1..=times {
        let first = sql.number(&submit(volume, "")).await?.context("submitted")?;
        taker.run("BEGIN").await?;
        assert_eq!(taker.number(&next(taking, "")).await?, Some(first));
        let waiting = wait_for_work(waiter, service);
        until_waiting(site, 1).await?;
        let later = format!(", not_before => clock_timestamp() + '{} ms'", PAUSE.as_millis());
        let due = Instant::now() + PAUSE;
        let second = sql.number(&submit(100 + volume, &later)).await?;
        let (sql, got, at) = waiting.await??;
        assert_eq!(got, second);
        plays.push(at.saturating_duration_since(due));
        taker.run("COMMIT").await?;
        waiter = sql;
    }
    in_time("work that has become due", plays)
}

#[tokio::test]
async fn without_a_look_behind_the_taker_it_comes_late() -> anyhow::Result<()> {
    let violation = Violation::expected_in(due_behind_a_taker(&Site::without("NextDue")?, 4).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    Ok(())
}

/// A call that sleeps has no lock on a table and no service lock; when its client goes away it leaves nothing.
async fn a_waiter_holds_nothing(site: &Site) -> anyhow::Result<()> {
    let (sql, waiter, observer) = (site.sql().await?, site.sql().await?, site.observer().await?);
    let service = furnish(&sql).await?;
    let plug = waiter.plug();
    let waiting = wait_for_work(waiter, service);
    until_waiting(site, 1).await?;
    let locks = "SELECT string_agg(concat_ws(' ', l.relation::regclass, l.mode, l.objsubid), ', ') FROM pg_locks AS l
                 JOIN volguard.waiters AS w USING (pid)
                 WHERE l.relation::regclass::text LIKE 'volguard.%' AND l.relation::regclass::text NOT LIKE 'volguard.waiters'
                    OR l.locktype = 'advisory' AND l.objsubid = x'5649'::int";
    // It looks once a second, for a moment.
    until("a waiter without locks", async || Ok(observer.sql().text(locks).await?.is_none().then_some(()))).await?;
    // Its service can be fenced at once: then the call ends.
    plug.abort();
    drop(waiting);
    let count = "SELECT count(*) FROM volguard.waiters";
    until("the end of the call", async || Ok((observer.sql().number(count).await? == Some(0)).then_some(()))).await?;
    observer.until_settled(Duration::from_secs(20)).await
}
