//! Playing a plan, and judging what is left of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use volguard_tests::scenario::{Site, Sql, Violation};

use super::actor::{Actor, Guard, Process};
use super::journal::Journal;
use super::plan::Plan;
use super::tally::Tally;

/// What sweeps up the locks that nobody in the client can know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broom {
    Reconcile,
    None,
}

#[derive(Debug, Clone, Copy)]
pub struct Judge {
    pub broom: Broom,
    /// How long what is to be released in the background may stay.
    pub patience: Duration,
}

impl Judge {
    /// The client looks after an answer that was lost every 5 seconds at least.
    pub const PATIENT: Judge = Judge {
        broom: Broom::Reconcile,
        patience: Duration::from_secs(20),
    };
}

/// Plays it, and leaves nothing on the site.
pub async fn play(site: &Site, plan: &Plan, judge: Judge) -> anyhow::Result<Tally> {
    static PLANS: AtomicUsize = AtomicUsize::new(0);
    let number = PLANS.fetch_add(1, Ordering::Relaxed);
    // A plan that failed may have left something.
    site.psql("DELETE FROM volguard.workers")?;
    let journal = Journal::open(&site.url()).await?;
    journal.clear().await?;
    let sql = site.sql().await?;
    let processes = [
        Arc::new(Process::start(site, &format!("{number}-a"), false).await?),
        Arc::new(Process::start(site, &format!("{number}-b"), true).await?),
    ];

    let mut actors = JoinSet::new();
    for (place, steps) in plan.actors.iter().enumerate() {
        let process = Arc::clone(&processes[place % processes.len()]);
        let host = format!("{number}-extra-{place}");
        let actor = Actor::new(process, Journal::open(&site.url()).await?, host);
        actors.spawn(actor.act(steps.clone()));
    }
    let mut tally = Tally::default();
    let (mut guards, mut hosts) = (Vec::new(), Vec::new());
    while let Some(actor) = actors.join_next().await {
        let actor = actor??;
        tally.add(&actor.tally);
        guards.extend(actor.held);
        hosts.push(actor.host);
    }
    for process in &processes {
        tally.cut += usize::from(process.proxy.has_struck());
        process.proxy.resume();
    }

    let books = Books {
        sql,
        services: processes.iter().map(|p| p.session.service_id()).collect(),
        patience: judge.patience,
        believed: guards.iter().flat_map(Guard::tokens).collect(),
    };
    books.balance().await?;
    for process in &processes {
        books.add_stray(&process.session.service_id()).await?;
        if judge.broom == Broom::Reconcile {
            process.session.reconcile().await?;
        }
    }
    books.balance().await?;
    journal.audit().await?;
    for host in hosts {
        books.has_one_service_at_most(&host).await?;
    }

    tally.kept = guards.len();
    for guard in guards {
        guard.release().await?;
    }
    for process in processes {
        let process = Arc::into_inner(process).context("the actors have ended")?;
        process.session.stop().await?;
    }
    Ok(tally)
}

/// What is held, by the server's account and by the clients'.
struct Books {
    sql: Sql,
    services: Vec<i64>,
    patience: Duration,
    /// The tokens of the guards that there are.
    believed: BTreeSet<i64>,
}

impl Books {
    /// What the clients believe they hold is held, now; and nothing else, as soon as all is settled.
    async fn balance(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.patience;
        loop {
            let held = self.held().await?;
            if let Some(token) = self.believed.difference(&held).next() {
                let gone = format!("{token} is not held, though its client believes so");
                return Err(Violation::Forgotten(gone).into());
            }
            let left: Vec<_> = held.difference(&self.believed).collect();
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Violation::LeftBehind(format!("{left:?}")).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn held(&self) -> anyhow::Result<BTreeSet<i64>> {
        let services: Vec<_> = self.services.iter().map(i64::to_string).collect();
        let look = format!(
            "SELECT token FROM volguard.lock_status WHERE service_id IN ({})",
            services.join(", ")
        );
        let rows = self.sql.rows(&look).await?;
        let tokens = rows.into_iter().flatten().flatten();
        Ok(tokens
            .map(|token| token.parse())
            .collect::<Result<_, _>>()?)
    }

    /// A lock of the service's that its client can't know of.
    async fn add_stray(&self, service: &i64) -> anyhow::Result<()> {
        let key = format!("stray-{service}");
        let token = self.sql.acquire(*service, &key, Duration::ZERO).await?;
        token.context("nobody else wants it").map(drop)
    }

    /// Of the starts that were dropped, or cut off, the next one leaves none.
    async fn has_one_service_at_most(&self, host: &str) -> anyhow::Result<()> {
        let service = self.sql.register(host, super::LEASE).await?;
        let alive = format!(
            "SELECT count(*) FROM volguard.service_status WHERE host = '{host}' AND state = 'up'"
        );
        let alive = self.sql.number(&alive).await?;
        if alive != Some(1) {
            return Err(Violation::LeftBehind(format!("services of {host}: {alive:?}")).into());
        }
        let stop = format!("SELECT volguard.deregister_service({service})");
        Ok(self.sql.run(&stop).await?)
    }
}
