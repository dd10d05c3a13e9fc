//! Work of a crashed service that other services take over, which crash and stop in turn.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use volguard_tests::scenario::{Route, Site, Sql, Violation, Worker, WorkerOptions, until};

use crate::dead::{answers, what_the_dead_may_not};

/// Long enough to register on a busy machine.
const LEASE: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(60);

const PIECES: u32 = 150;
const CLAIMERS: usize = 3;
const ACCIDENTS: usize = 14;

by_both_routes!(all_work_is_done_once_whichever_service_dies, a_claimer_that_was_too_late_can_do_nothing,);

/// A service that stopped in the middle of work on these volumes, which no rule repairs.
async fn crash(sql: &Sql, numbers: RangeInclusive<u32>, status: &str) -> anyhow::Result<()> {
    let (first, last) = numbers.into_inner();
    sql.run(&format!(
        "INSERT INTO app.volumes (id, status) SELECT 'v' || i, '{status}' FROM generate_series({first}, {last}) AS i;
         SELECT volguard.track_resource('volume', 'app.volumes')"
    ))
    .await?;
    let service = sql.register("crashed", LONG).await?;
    sql.run(&format!(
        "SELECT count(volguard.acquire({service}, 'volume', 'v' || i, status => '{status}')) FROM generate_series({first}, {last}) AS i;
         SELECT volguard.deregister_service({service})"
    ))
    .await?;
    Ok(())
}

/// Processes that run `verb`: they take work over as long as there is any.
struct Claimers<'a> {
    site: &'a Site,
    verb: &'a str,
    running: Vec<Worker>,
    /// The number of the next host.
    next: usize,
}

impl<'a> Claimers<'a> {
    async fn start(site: &'a Site, verb: &'a str) -> anyhow::Result<Self> {
        let mut claimers = Self { site, verb, running: Vec::new(), next: 0 };
        for _ in 0..CLAIMERS {
            let worker = claimers.another().await?;
            claimers.running.push(worker);
        }
        Ok(claimers)
    }

    /// One on another host.
    async fn another(&mut self) -> anyhow::Result<Worker> {
        self.next += 1;
        self.on_host(self.next - 1).await
    }

    async fn on_host(&self, host: usize) -> anyhow::Result<Worker> {
        let options = WorkerOptions {
            url: self.site.url(),
            mode: self.site.statement_mode(),
            host: &format!("host-{host}"),
            lease: LEASE,
            janitor: None,
        };
        let mut worker = Worker::start(super::LOCK_WORKER.as_ref(), &options).await?;
        worker.tell(self.verb).await?;
        Ok(worker)
    }

    /// Resolves when this holds. A machine that stands still for a lease ends the claimers: others go on in their
    /// places.
    async fn until(&mut self, sql: &Sql, what: &str, holds: &str) -> anyhow::Result<()> {
        until(what, async || {
            for place in 0..self.running.len() {
                if let Ok(ended) = timeout(Duration::ZERO, self.running[place].reply()).await {
                    ended?;
                    self.running[place] = self.another().await?;
                }
            }
            Ok(sql.holds(holds).await?.then_some(()))
        })
        .await
    }
}

async fn all_work_is_done_once_whichever_service_dies(site: &Site) -> anyhow::Result<()> {
    accidents(site, "clean", 50).await
}

/// Each volume is repaired by one write, after a while; a second one would show. Of a
/// hundred faults this many are kills, the others are stops that are longer than a lease.
async fn accidents(site: &Site, verb: &str, kills: u8) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    crash(&sql, 1..=PIECES, "deleting").await?;
    let mut claimers = Claimers::start(site, verb).await?;
    let mut sleepers = JoinSet::new();
    for accident in 0..ACCIDENTS {
        let enough = (accident + 1) * PIECES as usize / (ACCIDENTS + 2);
        let enough = format!("SELECT count(*) >= {enough} FROM app.volumes WHERE status = 'error'");
        claimers.until(&sql, "some repairs", &enough).await?;
        sleep(Duration::from_millis(fastrand::u64(..50))).await;
        let place = fastrand::usize(..CLAIMERS);
        let killed = fastrand::u8(..100) < kills;
        if killed {
            claimers.running[place].kill_at_once().await?;
        } else {
            claimers.running[place].freeze()?;
        }
        // The next incarnation of a killed process, or another host.
        let heir = if killed && fastrand::bool() { claimers.on_host(place).await? } else { claimers.another().await? };
        let mut victim = std::mem::replace(&mut claimers.running[place], heir);
        if !killed {
            sleepers.spawn(async move {
                sleep(LEASE * 2).await;
                victim.wake()?;
                // It continues, and ends when it finds itself lost.
                victim.reply().await?;
                anyhow::Ok(victim)
            });
        }
    }
    let observer = site.observer().await?;
    while let Some(sleeper) = sleepers.join_next().await {
        sleeper??.kill(&observer).await?;
    }
    let done = "SELECT count(*) = 0 FROM volguard.lock_status";
    claimers.until(&sql, "the rest of the repairs", done).await?;
    observer.until_settled(SETTLED).await?;
    judge(&sql).await
}

async fn judge(sql: &Sql) -> anyhow::Result<()> {
    let undone = "SELECT string_agg(id, ' ') FROM app.volumes WHERE status <> 'error' OR size < 2";
    if let Some(undone) = sql.text(undone).await? {
        return Err(Violation::Forgotten(format!("never repaired: {undone}")).into());
    }
    let twice = "SELECT string_agg(format('%s %s times', id, size - 1), ', ') FROM app.volumes WHERE size > 2";
    if let Some(twice) = sql.text(twice).await? {
        return Err(Violation::Trespass {
            act: "a repair under a token that another service has taken over".to_owned(),
            expected: "once".to_owned(),
            got: twice,
        }
        .into());
    }
    let repaired = "SELECT count(*) FROM app.volumes";
    assert_eq!(sql.number(repaired).await?, Some(PIECES.into()));
    Ok(())
}

async fn claim(sql: &Sql, service: i64) -> anyhow::Result<Option<i64>> {
    let claim = format!("SELECT token FROM volguard.claim_cleanup({service})");
    Ok(sql.number(&claim).await?)
}

/// Its lease is over, and its work is claimed by another service, when it comes back to finish it.
async fn a_claimer_that_was_too_late_can_do_nothing(site: &Site) -> anyhow::Result<()> {
    let late = site.sql().await?;
    crash(&late, 0..=0, "in-use").await?;
    let claimer = late.register("late", LONG).await?;
    let token = claim(&late, claimer).await?.context("work to claim")?;
    site.observer().await?.end_lease(claimer).await?;

    let heir = site.sql().await?;
    let service = heir.register("heir", LONG).await?;
    let heirloom = until("work that a claimer has left", async || claim(&heir, service).await).await?;
    for (statement, expected) in what_the_dead_may_not(claimer, token) {
        answers(&late, &statement, expected).await?;
    }
    for verb in ["finish_cleanup", "abandon_cleanup"] {
        answers(&late, &format!("SELECT volguard.{verb}({token})"), "f").await?;
    }
    let claim = format!("SELECT count(*) FROM volguard.claim_cleanup({claimer})");
    answers(&late, &claim, "VG001").await?;
    if heirloom <= token {
        let (earlier, later) = (token, heirloom);
        let key = "v0".to_owned();
        return Err(Violation::TokenWentBack { key, earlier, later }.into());
    }
    let finish = format!("SELECT volguard.finish_cleanup({heirloom})");
    answers(&heir, &finish, "t").await
}

#[tokio::test]
async fn without_a_new_token_the_late_claimer_goes_on() -> anyhow::Result<()> {
    let site = Site::without("ClaimToken")?;
    let violation = Violation::expected_in(a_claimer_that_was_too_late_can_do_nothing(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

/// The same storm without kills, and the writes of the claimers are not fenced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fence_sleepers_do_it_again() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let violation = Violation::expected_in(accidents(&site, "clean unfenced", 0).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}
