//! The wait queue: a release wakes the waiter, waiters are served in order, and leave without a trace.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::Error;
use volguard_tests::scenario::{Site, Sql, Violation};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(30);
/// How often a call that sleeps looks in any case.
const POLL: Duration = Duration::from_secs(1);
/// A wake-up takes a millisecond; this leaves room for a busy machine, but none for the poll.
const WOKEN: Duration = Duration::from_millis(200);

by_both_routes!(
    a_release_wakes_the_head,
    a_release_that_is_under_way_wakes_the_head,
    the_line_is_served_in_order,
    a_wait_ends_when_it_should,
);

/// A service with a connection of its own.
pub struct Waiter {
    pub sql: Sql,
    pub service: i64,
}

impl Waiter {
    pub async fn new(site: &Site, host: &str) -> anyhow::Result<Self> {
        let sql = site.sql().await?;
        let service = sql.register(host, LEASE).await?;
        Ok(Self { sql, service })
    }

    pub async fn acquire(&self, wait: Duration) -> Result<Option<i64>, Error> {
        self.sql.acquire(self.service, "v0", wait).await
    }

    pub async fn must_acquire(&self) -> anyhow::Result<i64> {
        self.acquire(Duration::ZERO).await?.context("free")
    }

    /// Waits in the background; returns when it got the lock.
    pub fn wait(self, wait: Duration) -> Waiting {
        tokio::spawn(async move {
            let token = self.acquire(wait).await;
            (self, token, Instant::now())
        })
    }
}

pub type Waiting = JoinHandle<(Waiter, Result<Option<i64>, Error>, Instant)>;

/// Ping-pong: the other service sleeps at the head of the wait queue each time.
async fn hand_overs(site: &Site, times: usize) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let (mut holder, mut next) = (Waiter::new(site, "a").await?, Waiter::new(site, "b").await?);
    let mut token = holder.must_acquire().await?;
    let mut plays = Vec::new();
    for _ in 0..times {
        let waiting = next.wait(LONG);
        observer.until_asleep(1).await?;
        let released = Instant::now();
        assert!(holder.sql.release(token).await?);
        let (winner, won, at) = waiting.await?;
        plays.push(at - released);
        token = won?.context("in time")?;
        next = std::mem::replace(&mut holder, winner);
    }
    holder.sql.release(token).await?;
    // A thread may stand still at any point of a busy machine, but not in every fourth hand-over. The poll would take
    // most of its time: it begins when the head falls asleep, shortly before the release.
    plays.sort_unstable();
    let (took, limit) = (plays[plays.len() - 1 - plays.len() / 4], POLL / 2);
    if took > limit {
        let what = "handing over";
        return Err(Violation::Late { what, took, limit }.into());
    }
    observer.until_settled(SETTLED).await
}

async fn a_release_wakes_the_head(site: &Site) -> anyhow::Result<()> {
    hand_overs(site, 50).await
}

#[tokio::test]
async fn without_the_wake_up_the_head_sleeps_on() -> anyhow::Result<()> {
    let site = Site::without("WakeUp")?;
    let violation = Violation::expected_in(hand_overs(&site, 4).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    Ok(())
}

/// The delete comes before the waiter, so it can note no session for a wake-up, and its commit comes after.
async fn a_release_that_is_under_way_wakes_the_head(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let (holder, mut next) = (Waiter::new(site, "a").await?, Waiter::new(site, "b").await?);
    // The median: a wake-up may be slow on a busy machine, and what another database does (DROP DATABASE) wakes every
    // session of the server.
    let mut plays = Vec::new();
    while plays.len() < 5 {
        let token = holder.must_acquire().await?;
        holder.sql.run("BEGIN").await?;
        assert!(holder.sql.release(token).await?);
        let asked = Instant::now();
        let waiting = next.wait(LONG);
        observer.until_in_queue(1).await?;
        let released = Instant::now();
        holder.sql.run("COMMIT").await?;
        let (winner, won, at) = waiting.await?;
        // If the look came late, the poll may have been near: that tells nothing.
        if released - asked < POLL / 2 {
            plays.push(at - released);
        }
        winner.sql.release(won?.context("in time")?).await?;
        next = winner;
    }
    plays.sort_unstable();
    let took = plays[plays.len() / 2];
    if took > WOKEN {
        let (what, limit) = ("waking after a release that was under way", WOKEN);
        return Err(Violation::Late { what, took, limit }.into());
    }
    observer.until_settled(SETTLED).await
}

#[tokio::test]
async fn without_the_look_for_writers_the_head_sleeps_on() -> anyhow::Result<()> {
    let site = Site::without("WriterInProgress")?;
    let violation = Violation::expected_in(a_release_that_is_under_way_wakes_the_head(&site).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    Ok(())
}

pub async fn the_line_is_served_in_order(site: &Site) -> anyhow::Result<()> {
    const WAITERS: usize = 8;
    let observer = site.observer().await?;
    let holder = Waiter::new(site, "holder").await?;
    let token = holder.must_acquire().await?;
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..WAITERS {
        let waiter = Waiter::new(site, &format!("waiter-{number}")).await?;
        let served = served.clone();
        tokio::spawn(async move {
            let token = waiter.acquire(LONG).await?.context("in time")?;
            served.send(number)?;
            anyhow::Ok(waiter.sql.release(token).await?)
        });
        observer.until_in_queue(number as i64 + 1).await?;
    }
    drop(served);
    holder.sql.release(token).await?;
    let mut turns = Vec::new();
    while let Some(number) = order.recv().await {
        turns.push(number);
    }
    if turns != (0..WAITERS).collect::<Vec<_>>() {
        return Err(Violation::OutOfTurn(turns).into());
    }
    observer.until_settled(SETTLED).await
}

/// At the head of the queue and behind it: not before its time, and not long after.
async fn a_wait_ends_when_it_should(site: &Site) -> anyhow::Result<()> {
    const WAIT: Duration = Duration::from_millis(400);
    let observer = site.observer().await?;
    let holder = Waiter::new(site, "holder").await?;
    let token = holder.must_acquire().await?;
    let mut took = Duration::MAX;
    // The machine may be busy with other work, but not three times.
    for _ in 0..3 {
        let mut waiting = Vec::new();
        for host in ["head", "second"] {
            let waiter = Waiter::new(site, host).await?;
            waiting.push((Instant::now(), waiter.wait(WAIT)));
        }
        let mut longest = Duration::ZERO;
        for (started, waiting) in waiting {
            let (_, token, ended) = waiting.await?;
            assert_eq!(token?, None);
            not_before(started + WAIT, ended)?;
            longest = longest.max(ended - started);
        }
        took = took.min(longest);
    }
    let limit = WAIT + Duration::from_secs(1);
    if took > limit {
        let what = "waiting in vain";
        return Err(Violation::Late { what, took, limit }.into());
    }
    holder.sql.release(token).await?;
    observer.until_settled(SETTLED).await
}

fn not_before(due: Instant, at: Instant) -> Result<(), Violation> {
    if at < due {
        return Err(Violation::Early(format!("a wait ended {:?} too early", due - at)));
    }
    Ok(())
}
