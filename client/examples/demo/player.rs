//! A manager's process, as the director has it in hand.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;

use crate::event::Event;
use crate::options::Post;

/// Dropped, it is killed.
#[derive(Debug)]
pub struct Player {
    name: String,
    child: Child,
    pid: Pid,
}

/// What is heard of a process.
#[derive(Debug)]
pub struct Heard {
    pub name: String,
    pub pid: Pid,
    pub what: Sound,
}

#[derive(Debug)]
pub enum Sound {
    Told(Event),
    /// On its standard error.
    Said(String),
    /// It has closed its standard output, which is its end.
    Gone,
}

impl Player {
    /// Starts this very executable as a manager.
    pub fn start(post: &Post, audience: &UnboundedSender<Heard>) -> Result<Player> {
        let executable = std::env::current_exe().context("this executable")?;
        let mut child = Command::new(executable)
            .args(post.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {}", post.name))?;
        let id = child.id().context("a process without an id")?;
        let pid = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .context("a process without an id")?;
        let ear = Ear {
            name: post.name.clone(),
            pid,
            audience: audience.clone(),
        };
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(
                ear.clone()
                    .listen(stderr, |line| Sound::Said(line.to_owned())),
            );
        }
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                ear.clone().listen(stdout, told).await;
                ear.hear(Sound::Gone);
            });
        }
        Ok(Player {
            name: post.name.clone(),
            child,
            pid,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Stops all of it (SIGSTOP), and returns when it stands still.
    pub async fn hold(&self) -> Result<()> {
        kill_process(self.pid, Signal::STOP)?;
        let wait = WaitId::Pid(self.pid);
        let stopped =
            tokio::task::spawn_blocking(move || waitid(wait, WaitIdOptions::STOPPED)).await?;
        stopped.with_context(|| format!("waiting for {} to stop", self.name))?;
        Ok(())
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// Ends it without notice (SIGKILL).
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("SIGKILL")
    }

    /// Asks it to finish what it is doing, and waits.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        kill_process(self.pid, Signal::TERM)?;
        Ok(self.child.wait().await?)
    }
}

#[derive(Clone, Debug)]
struct Ear {
    name: String,
    pid: Pid,
    audience: UnboundedSender<Heard>,
}

impl Ear {
    async fn listen(self, stream: impl AsyncRead + Unpin, sound: impl Fn(&str) -> Sound) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.hear(sound(&line));
        }
    }

    fn hear(&self, what: Sound) {
        // Once the audience has left nothing matters any more.
        let _ = self.audience.send(Heard {
            name: self.name.clone(),
            pid: self.pid,
            what,
        });
    }
}

fn told(line: &str) -> Sound {
    serde_json::from_str(line).map_or_else(|_| Sound::Said(line.to_owned()), Sound::Told)
}
