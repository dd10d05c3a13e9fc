//! A program under test: its process, and what it says.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::line::{Line, Piece};

/// Long enough for a busy machine: what does not come in this time does not come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program, with its process group. It is killed with this value.
#[derive(Debug)]
pub struct Program {
    child: Child,
    group: Pid,
    said: watch::Receiver<Vec<Said>>,
    errors: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
}

/// A line, and when it came.
#[derive(Debug, Clone)]
pub struct Said {
    /// The line.
    pub line: Line,
    /// When it came.
    pub at: Instant,
    /// The same by the date, which the server counts by.
    pub date: SystemTime,
}

/// How a program is started.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// A command of the shell.
    pub command: &'a str,
    /// `DATABASE_URL`
    pub url: String,
    /// `VOLGUARD_HOST`
    pub host: &'a str,
    /// `VOLGUARD_LEASE`
    pub lease: Duration,
    /// More variables of the environment.
    pub environment: &'a [(String, String)],
}

impl Program {
    /// Starts one.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn start(start: &Start<'_>) -> anyhow::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {}", start.command)])
            .env("DATABASE_URL", &start.url)
            .env("VOLGUARD_HOST", start.host)
            .env("VOLGUARD_LEASE", start.lease.as_millis().to_string())
            .envs(start.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that all its processes can be stopped and killed.
            .process_group(0)
            .spawn()
            .context("sh")?;
        let pid = child.id().context("it has just begun")?;
        let group = Pid::from_raw(i32::try_from(pid)?).context("a process has a number")?;
        let (stdout, stderr) = (child.stdout.take().context("piped")?, child.stderr.take().context("piped")?);
        let (sender, said) = watch::channel(Vec::new());
        let errors = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&errors);
        let readers = [
            tokio::spawn(each_line(stdout, move |line| {
                let said = Said { line: Line::read(&line), at: Instant::now(), date: SystemTime::now() };
                sender.send_modify(|all| all.push(said));
            })),
            tokio::spawn(each_line(stderr, move |line| {
                all.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            })),
        ];
        Ok(Self { child, group, said, errors, readers })
    }

    /// All that it has said so far.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        self.said.borrow().clone()
    }

    /// The number of lines of this kind.
    #[must_use]
    pub fn count(&self, wanted: impl Fn(&Line) -> bool) -> usize {
        self.said.borrow().iter().filter(|said| wanted(&said.line)).count()
    }

    /// Resolves with the first line of this kind, also if it came before.
    ///
    /// # Errors
    /// If it does not come; with what it said instead.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> anyhow::Result<Said> {
        let mut said = self.said.clone();
        let found = |all: &Vec<Said>| all.iter().find(|said| wanted(&said.line)).cloned();
        let waited = timeout(PATIENCE, said.wait_for(|all| found(all).is_some())).await;
        let how = match waited {
            Ok(Ok(all)) => return found(&all).context("it was there"),
            // It has closed its output.
            Ok(Err(_)) => format!("it ended without `{what}`"),
            Err(_) => format!("no `{what}` within {} s", PATIENCE.as_secs()),
        };
        bail!("{how}; {}", self.words())
    }

    /// Its service.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn registered(&self) -> anyhow::Result<i64> {
        let said = self.until("registered", |line| matches!(line, Line::Registered(_))).await?;
        match said.line {
            Line::Registered(id) => Ok(id),
            other => bail!("{other:?}"),
        }
    }

    /// The piece of work on this resource, once it has begun.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn begun(&self, id: &str) -> anyhow::Result<(Piece, Instant)> {
        let said = self.until(&format!("begin TOKEN {id}"), |line| line.begins(id)).await?;
        match said.line {
            Line::Begin(piece) => Ok((piece, said.at)),
            other => bail!("{other:?}"),
        }
    }

    /// Resolves when it says that the piece of work on this resource has ended.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn ended(&self, id: &str) -> anyhow::Result<Said> {
        self.until(&format!("end TOKEN {id}"), |line| line.ends(id)).await
    }

    /// Resolves when it says that its lease is lost.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn lost(&self) -> anyhow::Result<Said> {
        self.until("lost", |line| *line == Line::Lost).await
    }

    /// Sends a signal to its first process alone.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.group, signal)?)
    }

    /// Sends a signal to all its processes.
    ///
    /// # Errors
    /// If they have ended.
    pub fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process_group(self.group, signal)?)
    }

    /// Resolves when it has ended and all that it said is read.
    ///
    /// # Errors
    /// If it goes on.
    pub async fn exit(&mut self) -> anyhow::Result<ExitStatus> {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            bail!("it goes on after {} s; {}", PATIENCE.as_secs(), self.words())
        };
        let status = status?;
        // A child of its own may keep its output open.
        for reader in self.readers.iter_mut().filter(|reader| !reader.is_finished()) {
            let _ = timeout(Duration::from_secs(3), reader).await;
        }
        Ok(status)
    }

    /// Expects that it ends with this code.
    ///
    /// # Errors
    /// If it goes on, or ends with another one.
    pub async fn exits_with(&mut self, code: i32) -> anyhow::Result<()> {
        let status = self.exit().await?;
        if status.code() != Some(code) {
            bail!("{status} instead of exit code {code}; {}", self.words());
        }
        Ok(())
    }

    /// What it has written to its stderr.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last of what it said, for an error.
    #[must_use]
    pub fn words(&self) -> String {
        const LAST: usize = 6;
        let (said, errors) = (self.said(), self.errors());
        let lines: Vec<String> =
            said[said.len().saturating_sub(LAST)..].iter().map(|said| format!("{:?}", said.line)).collect();
        let errors = &errors[errors.len().saturating_sub(LAST)..];
        format!("it said [{}], on stderr [{}]", lines.join(", "), errors.join(" / "))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // They may have ended.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

async fn each_line(from: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(line);
    }
}
