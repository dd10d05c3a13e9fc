//! A server that keeps a journal, and proxies in front of it.

use std::time::Duration;

use anyhow::Context;
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{Options, worker};
use crate::history::{Entry, journal};
use crate::scenario::{Cut, Proxy, Sql, furnish, until_within, url};
use crate::{PrivateServer, Profile};

const PROXIES: usize = 4;
/// Long enough for two dozen processes to start on a busy machine.
const START: Duration = Duration::from_secs(120);
/// The prefix of the clients' names.
const CLIENTS: &str = "node-";
/// A row for each key that clients may use.
pub(crate) const KEYS: &str = "INSERT INTO app.resources (id)
    SELECT kind || number FROM generate_series(0, 999) AS number, (VALUES ('hot-'), ('node-')) AS k (kind)";

#[derive(Debug)]
pub(super) struct Stage {
    server: PrivateServer,
    proxies: Vec<Proxy>,
}

impl Stage {
    pub(super) async fn build(options: &Options) -> anyhow::Result<Self> {
        let server = PrivateServer::builder()
            .profile(options.profile)
            .setting("max_connections", "600")
            .setting("wal_level", "logical")
            // A connection that has not sent anything yet, because its client or its network is stopped,
            // survives an immediate shutdown for this time, and the shutdown waits for it: a minute by default.
            .setting("authentication_timeout", "5s")
            .start()?;
        furnish(&server)?;
        for step in journal::SETUP {
            server.psql(step)?;
        }
        server.psql(KEYS)?;
        server.psql(&worker::furnish(options.habits.jobs))?;
        server.psql(&options.prepare)?;
        let mut proxies = Vec::new();
        for _ in 0..PROXIES {
            proxies.push(Proxy::in_front_of(server.port()).await?);
        }
        Ok(Self { server, proxies })
    }

    /// The route of the client with this number: through one of the proxies, or direct.
    pub(super) fn url(&self, number: usize, name: &str) -> String {
        let proxy = self.proxies.get(number % (PROXIES + 1));
        let port = proxy.map_or(self.server.port(), Proxy::port);
        let url = url("manager", port, "volguard");
        format!("{url}?application_name={name}")
    }

    /// Resolves when this many clients have registered.
    pub(super) async fn until_at_work(&self, clients: usize) -> anyhow::Result<()> {
        let sql = self.superuser().await?;
        let registered = "SELECT count(*) FROM volguard.services";
        until_within(START, "all clients at work", async || {
            let registered = sql.number(registered).await?.unwrap_or_default();
            Ok((registered >= clients as i64).then_some(()))
        })
        .await
    }

    pub(super) async fn superuser(&self) -> anyhow::Result<Sql> {
        let url = format!("{}?application_name=conductor", self.server.url());
        Ok(Sql::connect(&url).await?)
    }

    /// Runs a function on the process of a random client session that runs a statement.
    pub(super) async fn signal(&self, function: &str) -> anyhow::Result<bool> {
        let signal = format!(
            "SELECT {function}(pid) FROM (SELECT pid FROM pg_stat_activity
             WHERE application_name LIKE '{CLIENTS}%' AND state = 'active' ORDER BY random() LIMIT 1) AS victim"
        );
        Ok(self.superuser().await?.holds(&signal).await?)
    }

    /// Plans a cut at one of the next requests through a proxy. It replaces one that is still planned.
    pub(super) fn cut(&self, rng: &mut Rng) {
        let cut = if rng.bool() { Cut::Request } else { Cut::Reply { keep: rng.usize(0..40) } };
        self.proxies[rng.usize(0..PROXIES)].cut(rng.usize(0..20), cut);
    }

    /// The number of cuts so far.
    pub(super) fn cuts(&self) -> u64 {
        self.proxies.iter().map(Proxy::cuts).sum()
    }

    /// Stops all traffic through a proxy, and returns which proxy.
    pub(super) fn stall(&self, rng: &mut Rng) -> usize {
        let number = rng.usize(0..PROXIES);
        self.proxies[number].hold(0);
        number
    }

    pub(super) fn resume(&self, number: usize) {
        self.proxies[number].resume();
    }

    /// Blocks for as long as the recovery takes.
    pub(super) fn crash(&mut self) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| {
            self.server.crash()?;
            Ok(self.server.restart()?)
        })
    }

    pub(super) async fn clean_up(&self) -> anyhow::Result<()> {
        let sql = self.superuser().await?;
        Ok(sql.run("SELECT FROM volguard.cleanup()").await?)
    }

    pub(super) async fn journal(&self) -> anyhow::Result<Vec<Entry>> {
        let sql = self.superuser().await?;
        journal::read(&sql).await.context("the journal")
    }
}

/// After the clients have ended: waits until their sessions have, and cleans
/// up what they left. The judge checks that nothing is left at the end.
pub(crate) async fn calm_down(sql: &Sql, limit: Duration) -> anyhow::Result<()> {
    let busy = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE '{CLIENTS}%')
             OR EXISTS (SELECT FROM volguard.workers)"
    );
    let deadline = Instant::now() + limit;
    while sql.holds(&busy).await? && Instant::now() < deadline {
        sql.run("SELECT FROM volguard.cleanup()").await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

impl Options {
    /// Removes guards of the extension's `sabotage.rs`, by name, separated by commas.
    #[must_use]
    pub fn without(mut self, guards: &str) -> Self {
        self.profile = Profile::Sabotage;
        self.prepare += &format!("ALTER DATABASE volguard SET volguard.sabotage = '{guards}';");
        self
    }
}
