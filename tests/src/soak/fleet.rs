//! The client processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

use super::worker::Worker;
use super::{ClientOptions, Options};
use crate::history::{Call, Log, calls};
use crate::workspace;

/// The time limit for a client to end its last visits, with waits and retries.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Fleet<'a> {
    options: &'a Options,
    dir: PathBuf,
    members: Vec<Member>,
    /// Name and log of every client of the run.
    logs: Vec<(String, PathBuf)>,
    rng: Rng,
}

struct Member {
    name: String,
    incarnation: u32,
    child: Child,
}

impl<'a> Fleet<'a> {
    /// `url` is the route of the client with this number and name.
    pub(crate) fn start(options: &'a Options, url: impl Fn(usize, &str) -> String) -> anyhow::Result<Self> {
        let dir = workspace::target().join("soak").join(Uuid::new_v4().to_string());
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let mut fleet = Self { options, dir, members: Vec::new(), logs: Vec::new(), rng: Rng::with_seed(options.seed) };
        for number in 0..options.clients {
            let member = fleet.enlist(&url, number, 1)?;
            fleet.members.push(member);
        }
        Ok(fleet)
    }

    fn enlist(
        &mut self,
        url: impl Fn(usize, &str) -> String,
        number: usize,
        incarnation: u32,
    ) -> anyhow::Result<Member> {
        let name = format!("node-{number}.{incarnation}");
        // A client that restarts under its old name ends its old service; under a new name it leaves that to the lease.
        let offset = self.options.clients * (incarnation as usize % 2);
        let options = self.client_options(&url, number, name.clone(), format!("node-{}", number + offset));
        let program = &self.options.program;
        let child = Command::new(program)
            .arg(serde_json::to_string(&options)?)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Member { name, incarnation, child })
    }

    fn client_options(
        &mut self,
        url: &impl Fn(usize, &str) -> String,
        number: usize,
        name: String,
        host: String,
    ) -> ClientOptions {
        let options = ClientOptions {
            url: url(number, &name),
            host,
            log: self.dir.join(&name),
            seed: self.rng.u64(..),
            lease: self.options.lease,
            habits: self.options.habits.clone(),
        };
        self.logs.push((name, options.log.clone()));
        options
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) async fn kill(&mut self, number: usize, url: impl Fn(usize, &str) -> String) -> anyhow::Result<()> {
        let member = &mut self.members[number];
        member.must_be_alive()?;
        member.child.kill().await?;
        let incarnation = member.incarnation + 1;
        self.members[number] = self.enlist(url, number, incarnation)?;
        Ok(())
    }

    pub(super) fn freeze(&mut self, number: usize) -> anyhow::Result<()> {
        self.members[number].signal(Signal::STOP)
    }

    /// A client that is not stopped is left alone.
    pub(super) fn wake(&mut self, number: usize) -> anyhow::Result<()> {
        self.members[number].signal(Signal::CONT)
    }

    /// Tells all clients to end, and waits until they have.
    pub(crate) async fn recall(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.must_be_alive()?;
            member.signal(Signal::CONT)?;
            drop(member.child.stdin.take());
        }
        for member in &mut self.members {
            let name = &member.name;
            let status =
                timeout(PATIENCE, member.child.wait()).await.with_context(|| format!("{name} does not end"))??;
            if !status.success() {
                bail!("{name} failed: {status}");
            }
        }
        Ok(())
    }

    /// Does the work that the clients have left, as far as that ends in time, as one client more.
    pub(super) async fn drain(&mut self, url: impl Fn(usize, &str) -> String) -> anyhow::Result<()> {
        let number = self.members.len();
        let options = self.client_options(&url, number, "drain".to_owned(), format!("node-{number}"));
        let mut worker = Worker::new(&options, &Arc::new(Log::create(&options.log)?), 0, self.rng.fork());
        timeout(self.options.calm, worker.drain()).await.unwrap_or(Ok(()))
    }

    /// The logs of all clients.
    pub(crate) fn calls(&self) -> anyhow::Result<Vec<Call>> {
        let mut all = Vec::new();
        for (name, log) in &self.logs {
            // A client that was killed at once has none.
            if log.exists() {
                all.extend(calls(name, log)?);
            }
        }
        Ok(all)
    }

    pub(crate) fn processes(&self) -> usize {
        self.logs.len()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn remove_logs(&self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(&self.dir)?)
    }
}

impl Member {
    /// Only the storm may end a client: a client survives every other fault.
    fn must_be_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}", self.name),
        }
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.must_be_alive()?;
        let pid = self.child.id().context("it has not been waited for")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }
}
