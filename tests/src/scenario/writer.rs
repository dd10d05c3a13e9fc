//! A process that writes to a [`Disk`](super::Disk) whenever it believes to hold the lock.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::until;

/// Every report is faster than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// The options of a writer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriterOptions {
    /// The database.
    pub url: String,
    /// The host that it registers.
    pub host: String,
    /// Its lease.
    pub lease: Duration,
    /// The file that it writes to.
    pub disk: PathBuf,
    /// How careful it is.
    pub conduct: Conduct,
}

/// How careful a writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conduct {
    /// It writes by `Held::run`, and goes on as a new incarnation when its session is lost.
    Guarded,
    /// It has a lock of the client and never asks whether that is lost.
    Heedless,
    /// Written by hand, with a lease of its own that it measures by the date.
    ByWallClock,
}

/// A report of a writer about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// It has registered this service.
    Registered(i64),
    /// It has got the lock, with this token.
    Holds(i64),
    /// It has noticed that it does not hold it any more.
    Lost,
    /// The date as it sees it, in seconds: the answer to [`Writer::date`].
    Date(u64),
}

/// A running `disk-writer`. It ends with this value.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    stdin: ChildStdin,
    news: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    /// Starts one. `program` is the binary that cargo built of
    /// `src/bin/disk_writer.rs`; `environment` is added to ours.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn start(program: &Path, options: &WriterOptions, environment: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .arg(serde_json::to_string(options)?)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdin = child.stdin.take().context("stdin is piped")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        Ok(Self { child, stdin, news: BufReader::new(stdout).lines() })
    }

    /// Its next report.
    ///
    /// # Errors
    /// If it has ended, or reports nothing in time.
    pub async fn news(&mut self) -> anyhow::Result<News> {
        let line = timeout(PATIENCE, self.news.next_line())
            .await
            .context("the writer tells nothing")??
            .context("the writer is gone")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Waits until it has registered, and returns the service. A lock before that is an error.
    ///
    /// # Errors
    /// As [`news`](Self::news).
    pub async fn until_it_registers(&mut self) -> anyhow::Result<i64> {
        match self.news().await? {
            News::Registered(service) => Ok(service),
            other => bail!("expected a registration, got {other:?}"),
        }
    }

    /// Waits until it has got the lock, and returns the token.
    ///
    /// # Errors
    /// As [`news`](Self::news).
    pub async fn until_it_holds(&mut self) -> anyhow::Result<i64> {
        loop {
            if let News::Holds(token) = self.news().await? {
                return Ok(token);
            }
        }
    }

    /// Waits until it has noticed that it has lost the lock. Another lock before that is an error.
    ///
    /// # Errors
    /// As [`news`](Self::news).
    pub async fn until_it_is_lost(&mut self) -> anyhow::Result<()> {
        match self.news().await? {
            News::Lost => Ok(()),
            other => bail!("expected a loss, got {other:?}"),
        }
    }

    /// The date as the process sees it, in seconds.
    ///
    /// # Errors
    /// As [`news`](Self::news).
    pub async fn date(&mut self) -> anyhow::Result<u64> {
        self.stdin.write_all(b"date\n").await?;
        match self.news().await? {
            News::Date(date) => Ok(date),
            other => bail!("expected the date, got {other:?}"),
        }
    }

    /// Makes it stop in order.
    ///
    /// # Errors
    /// If it fails.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        let status = timeout(PATIENCE, self.child.wait()).await.context("the writer does not end")??;
        if !status.success() {
            bail!("the writer failed: {status}");
        }
        Ok(())
    }

    /// Makes a guarded writer stop itself by SIGSTOP between two writes; resolves when it has. (If it stopped
    /// in the middle of a write, it would finish that write when it continues: only a fence prevents that.)
    ///
    /// # Errors
    /// An error of the operating system.
    pub async fn freeze(&mut self) -> anyhow::Result<()> {
        self.stdin.write_all(b"freeze\n").await?;
        let stat = format!("/proc/{}/stat", self.child.id().context("the writer has ended")?);
        until("the process to be stopped", async || {
            let stat = std::fs::read_to_string(&stat)?;
            let (_, state) = stat.rsplit_once(") ").context("no state")?;
            Ok(state.starts_with('T').then_some(()))
        })
        .await
    }

    /// Continues it by SIGCONT.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn wake(&self) -> anyhow::Result<()> {
        let pid = self.child.id().context("the writer has ended")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process has a number")?;
        Ok(kill_process(pid, Signal::CONT)?)
    }
}
