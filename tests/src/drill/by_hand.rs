//! Three private servers. Promotion and return are the steps that an administrator would take.

use tokio::task::block_in_place;

use super::Mode;
use super::cluster::{Cluster, FailOver, NAMES, PATIENCE, SETTINGS, prepare, until_followed};
use crate::scenario::{Sql, until_within};
use crate::time::now;
use crate::{Error, PrivateServer, Profile};

/// Each kind of standby may be the next primary, so all servers have the same settings.
const SYNCHRONOUS: [&str; 2] =
    ["ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (a, b, c)'", "SELECT pg_reload_conf()"];

/// Of a lock that has come back with a standby that lags it is not known whether its holder has released it meanwhile.
/// If so, it would stay: the holder lives and does not know of it. A holder that still has it learns of the loss.
const FREE_WHAT_CAME_BACK: &str =
    "SELECT volguard.force_release(token, 'released on the old primary, perhaps') FROM volguard.workers";

pub(super) struct ByHand {
    nodes: Vec<PrivateServer>,
    primary: usize,
    mode: Mode,
    /// The standby that lags.
    left_behind: Option<usize>,
    /// Those that do not stream from the primary, and may have gone their own way.
    astray: Vec<usize>,
}

impl ByHand {
    pub(super) async fn start(mode: Mode) -> anyhow::Result<Self> {
        let nodes = start(Profile::Debug).await?;
        if mode.is_synchronous() {
            for (node, step) in nodes.iter().flat_map(|node| SYNCHRONOUS.map(|step| (node, step))) {
                node.psql(step)?;
            }
        }
        Ok(Self { nodes, primary: 0, mode, left_behind: None, astray: Vec::new() })
    }

    fn standbys(&self) -> impl Iterator<Item = usize> + use<> {
        let primary = self.primary;
        (0..self.nodes.len()).filter(move |&node| node != primary)
    }

    /// The standby that has received most. All that was acknowledged is on one of them.
    async fn most_advanced(&self) -> anyhow::Result<usize> {
        let mut best = (0, self.primary);
        for standby in self.standbys() {
            best = best.max((received(&self.nodes[standby].url()).await?, standby));
        }
        Ok(best.1)
    }

    fn follow(&mut self, standby: usize) -> Result<(), Error> {
        let (standby, primary) = two(&mut self.nodes, standby, self.primary);
        standby.0.follow(primary, standby.1)
    }

    fn bring_back(&mut self, standby: usize) -> Result<(), Error> {
        let ((standby, name), primary) = two(&mut self.nodes, standby, self.primary);
        standby.rewind_to(primary)?;
        standby.follow(primary, name)?;
        standby.restart()
    }
}

impl Cluster for ByHand {
    fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(PrivateServer::port).collect()
    }

    fn primary(&self) -> String {
        self.nodes[self.primary].url()
    }

    async fn leave_behind(&mut self) -> anyhow::Result<()> {
        if self.mode != Mode::Lagging {
            return Ok(());
        }
        self.left_behind = self.standbys().next();
        if let Some(standby) = self.left_behind {
            block_in_place(|| self.nodes[standby].follow_none())?;
        }
        until_followed(&self.primary(), 1).await
    }

    async fn fail_over(&mut self) -> anyhow::Result<FailOver> {
        let killed = self.primary;
        let left_behind = self.left_behind.take();
        let killed_at = now();
        block_in_place(|| self.nodes[killed].kill())?;
        let dead_at = now();
        let promoted = match left_behind {
            Some(standby) => standby,
            None => self.most_advanced().await?,
        };
        block_in_place(|| self.nodes[promoted].promote())?;
        let promoted_at = now();
        self.primary = promoted;
        if left_behind.is_some() {
            self.nodes[promoted].psql(FREE_WHAT_CAME_BACK)?;
        }
        self.astray = vec![killed];
        for standby in self.standbys().filter(|&node| node != killed).collect::<Vec<_>>() {
            if left_behind.is_some() {
                // It has commits that the new primary has not.
                block_in_place(|| self.nodes[standby].stop())?;
                self.astray.push(standby);
            } else {
                block_in_place(|| self.follow(standby))?;
            }
        }
        Ok(FailOver { killed, promoted, killed_at, dead_at, promoted_at })
    }

    async fn rejoin(&mut self) -> anyhow::Result<()> {
        for node in std::mem::take(&mut self.astray) {
            block_in_place(|| self.bring_back(node))?;
        }
        until_followed(&self.primary(), 2).await
    }
}

/// A primary with two standbys, in the order of [`NAMES`].
pub(super) async fn start(profile: Profile) -> anyhow::Result<Vec<PrivateServer>> {
    let builder = || {
        let builder = PrivateServer::builder().profile(profile);
        SETTINGS.into_iter().fold(builder, |builder, (name, value)| builder.setting(name, value))
    };
    let primary = block_in_place(|| builder().start())?;
    prepare(&Sql::connect(&primary.url()).await?).await?;
    let mut nodes = vec![primary];
    for name in &NAMES[1..] {
        let standby = block_in_place(|| builder().start_standby_of(&nodes[0], name))?;
        nodes.push(standby);
    }
    until_followed(&nodes[0].url(), 2).await?;
    Ok(nodes)
}

/// How much of its primary's log a standby has, in bytes, when the connection to that primary is over.
pub(super) async fn received(url: &str) -> anyhow::Result<i64> {
    const RECEIVED: &str = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')
        WHERE NOT EXISTS (SELECT FROM pg_stat_wal_receiver)";
    let sql = Sql::connect(url).await?;
    until_within(PATIENCE, "the end of a WAL receiver", async || Ok(sql.number(RECEIVED).await?)).await
}

/// One node, with its name, to change, and another one to look at.
fn two(nodes: &mut [PrivateServer], one: usize, other: usize) -> ((&mut PrivateServer, &'static str), &PrivateServer) {
    let [one_node, other_node] = nodes.get_disjoint_mut([one, other]).expect("two nodes");
    ((one_node, NAMES[one]), other_node)
}
