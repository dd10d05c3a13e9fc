//! Three servers of Patroni, and the etcd that they agree by. Patroni promotes, rewinds, and brings back.

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::block_in_place;
use uuid::Uuid;

use super::cluster::{Cluster, FailOver, NAMES, PATIENCE, SETTINGS, prepare, until_followed};
use crate::patroni::{Patroni, PatroniOptions};
use crate::scenario::{Sql, until_within};
use crate::time::now;
use crate::{Daemon, Error, PrivateServer};

pub(super) struct ByPatroni {
    nodes: Vec<Patroni>,
    options: PatroniOptions,
    killed: Option<usize>,
    _etcd: Daemon,
    /// Its copy of the installation has the extension in it; the server itself is stopped.
    _programs: PrivateServer,
}

impl ByPatroni {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (programs, etcd) = block_in_place(|| {
            let mut programs = PrivateServer::start()?;
            programs.stop()?;
            anyhow::Ok((programs, start_etcd()?))
        })?;
        let options = PatroniOptions {
            etcd: etcd.port(),
            bin_dir: programs.bin_dir(),
            password: Uuid::new_v4().simple().to_string(),
            settings: SETTINGS.into_iter().chain([("max_connections", "200")]).collect(),
        };
        let mut nodes = vec![block_in_place(|| Patroni::start(NAMES[0], &options))?];
        until_primary(&mut nodes, &options).await?;
        let database = Sql::connect(&url(&nodes[0], &options, "postgres")).await?;
        database.run("CREATE DATABASE volguard").await?;
        let sql = Sql::connect(&url(&nodes[0], &options, "volguard")).await?;
        sql.run("CREATE EXTENSION volguard").await?;
        prepare(&sql).await?;
        for name in &NAMES[1..] {
            nodes.push(block_in_place(|| Patroni::start(name, &options))?);
        }
        let mut cluster = Self { nodes, options, killed: None, _etcd: etcd, _programs: programs };
        cluster.rejoin().await?;
        Ok(cluster)
    }
}

impl Cluster for ByPatroni {
    fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Patroni::port).collect()
    }

    fn primary(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        let (password, hosts) = (&self.options.password, hosts.join(","));
        format!("postgresql://postgres:{password}@{hosts}/volguard?target_session_attrs=read-write")
    }

    async fn leave_behind(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn fail_over(&mut self) -> anyhow::Result<FailOver> {
        let killed = until_primary(&mut self.nodes, &self.options).await?;
        let killed_at = now();
        block_in_place(|| self.nodes[killed].kill())?;
        let dead_at = now();
        // The killed one is not asked: it does not run.
        let promoted = until_another(&mut self.nodes, &self.options, killed).await?;
        self.killed = Some(killed);
        Ok(FailOver { killed, promoted, killed_at, dead_at, promoted_at: now() })
    }

    async fn rejoin(&mut self) -> anyhow::Result<()> {
        if let Some(killed) = self.killed.take() {
            block_in_place(|| self.nodes[killed].start_again())?;
        }
        until_followed(&self.primary(), 2).await?;
        // Until Patroni knows a standby that has everything, it promotes none.
        until_within(PATIENCE, "a standby that Patroni calls synchronous", async || {
            for node in &mut self.nodes {
                node.must_be_alive()?;
                if is_synchronous(node).await.unwrap_or(false) {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await
    }
}

fn start_etcd() -> Result<Daemon, Error> {
    Daemon::start("etcd", |dir, ports| {
        let [clients, peers] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let data = dir.join("data");
        ["etcd", "--name", "drill", "--logger", "zap"]
            .into_iter()
            .chain(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .chain(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .chain(["--initial-cluster", &format!("drill={peers}")])
            .map(Into::into)
            .chain(["--data-dir".into(), data.into()])
            .collect()
    })
}

fn url(node: &Patroni, options: &PatroniOptions, database: &str) -> String {
    format!("postgresql://postgres:{}@127.0.0.1:{}/{database}", options.password, node.port())
}

async fn until_primary(nodes: &mut [Patroni], options: &PatroniOptions) -> anyhow::Result<usize> {
    until_another(nodes, options, usize::MAX).await
}

/// Resolves when one of the nodes, but not this one, takes writes.
async fn until_another(nodes: &mut [Patroni], options: &PatroniOptions, killed: usize) -> anyhow::Result<usize> {
    until_within(PATIENCE, "a primary", async || {
        for (place, node) in nodes.iter_mut().enumerate().filter(|(place, _)| *place != killed) {
            node.must_be_alive()?;
            if takes_writes(&url(node, options, "postgres")).await.unwrap_or(false) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    })
    .await
}

/// An error while the server starts, stops, or is away.
async fn takes_writes(url: &str) -> anyhow::Result<bool> {
    Ok(Sql::connect(url).await?.holds("SELECT NOT pg_is_in_recovery()").await?)
}

async fn is_synchronous(node: &Patroni) -> anyhow::Result<bool> {
    let mut api = TcpStream::connect(("127.0.0.1", node.api())).await?;
    api.write_all(b"GET /synchronous HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    api.read_to_string(&mut answer).await?;
    let status = answer.split_whitespace().nth(1).context("no status")?;
    Ok(status == "200")
}
