//! A lock holder in its own process, which can be killed or stopped.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use uuid::Uuid;
use volguard::StatementMode;

use super::Observer;

/// A running `lock-worker`: one session of the client crate, which obeys commands. It ends with this value.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    verbs: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    service_id: i64,
    /// The application name of its connections, which no other process has: host names are used again.
    name: String,
}

/// The options of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions<'a> {
    /// The database.
    pub url: String,
    /// How it sends statements.
    pub mode: StatementMode,
    /// The host that it registers.
    pub host: &'a str,
    /// Its lease.
    pub lease: Duration,
    /// The interval of its janitor, if it has one.
    pub janitor: Option<Duration>,
}

/// Every answer is faster than this, unless the worker is stopped.
const PATIENCE: Duration = Duration::from_secs(90);

impl Worker {
    /// Starts one and has it register. `program` is the binary that cargo built of `src/bin/lock_worker.rs`.
    ///
    /// # Errors
    /// If it does not start, or does not get its session.
    pub async fn start(program: &Path, options: &WorkerOptions<'_>) -> anyhow::Result<Self> {
        let mode = match options.mode {
            StatementMode::Unnamed => "unnamed",
            _ => "prepared",
        };
        let name = format!("worker-{}", Uuid::new_v4().simple());
        let url = format!("{}?application_name={name}", options.url);
        let mut child = Command::new(program)
            .args([url.as_str(), mode, options.host])
            .arg(options.lease.as_millis().to_string())
            .arg(options.janitor.unwrap_or_default().as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let verbs = child.stdin.take().context("stdin is piped")?;
        let replies = child.stdout.take().context("stdout is piped")?;
        let mut worker = Self { child, verbs, replies: BufReader::new(replies).lines(), service_id: 0, name };
        worker.service_id = worker.reply().await?.parse()?;
        Ok(worker)
    }

    /// The service that it registered.
    #[must_use]
    pub fn service_id(&self) -> i64 {
        self.service_id
    }

    /// Sends it a command, and returns the result.
    ///
    /// # Errors
    /// The failure, as text; or an error if the worker is gone.
    pub async fn ask(&mut self, verb: &str) -> anyhow::Result<String> {
        self.tell(verb).await?;
        self.reply().await
    }

    /// Sends it a command; [`reply`](Self::reply) returns the result.
    ///
    /// # Errors
    /// If it is gone.
    pub async fn tell(&mut self, verb: &str) -> anyhow::Result<()> {
        self.verbs.write_all(format!("{verb}\n").as_bytes()).await?;
        Ok(())
    }

    /// The result of the last command.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn reply(&mut self) -> anyhow::Result<String> {
        let line = timeout(PATIENCE, self.replies.next_line())
            .await
            .context("the worker does not answer")??
            .context("the worker is gone")?;
        match line.split_once(' ') {
            Some(("failed", why)) => bail!("{why}"),
            Some(("ok", result)) => Ok(result.to_owned()),
            _ => bail!("the worker said: {line}"),
        }
    }

    /// Ends it as a power failure does: SIGKILL. Resolves when the server has finished what it had sent before.
    ///
    /// # Errors
    /// An error of the operating system; an error if the server does not finish.
    pub async fn kill(&mut self, observer: &Observer) -> anyhow::Result<()> {
        self.child.kill().await?;
        observer.until_gone(&self.name).await
    }

    /// As [`kill`](Self::kill), without waiting for the server, for tests where that must make no difference.
    ///
    /// # Errors
    /// An error of the operating system.
    pub async fn kill_at_once(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops it by SIGSTOP. It does nothing until [`wake`](Self::wake).
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Continues it by SIGCONT.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn wake(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().context("the worker has ended")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }
}
