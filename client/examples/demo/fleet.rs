//! The managers' processes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{MANAGER, Plan, Post};

pub const MANAGERS: [&str; 3] = ["manager-1", "manager-2", "manager-3"];

/// All that run, by name. A fault takes its victim out, so that [`watch`](Fleet::watch) does not see its end.
#[derive(Debug)]
pub struct Fleet {
    post: Post,
    running: RefCell<BTreeMap<String, Process>>,
}

/// Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
}

impl Fleet {
    pub fn start(plan: &Plan, directory: &Path, began: u64) -> Result<Fleet> {
        let fleet = Fleet {
            post: Post {
                name: String::new(),
                directory: directory.to_owned(),
                broken: plan.broken,
                director: getpid().as_raw_nonzero().get(),
                began,
            },
            running: RefCell::default(),
        };
        MANAGERS.into_iter().try_for_each(|name| fleet.add(name))?;
        Ok(fleet)
    }

    /// Starts this very program as a manager.
    pub fn add(&self, name: &str) -> Result<()> {
        let mut post = self.post.clone();
        name.clone_into(&mut post.name);
        let mut command = Command::new(std::env::current_exe()?);
        command.env(MANAGER, serde_json::to_string(&post)?);
        let child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pid = pid.context("a process without an id")?;
        self.put_back(name, Process { child, pid });
        Ok(())
    }

    pub fn take(&self, name: &str) -> Result<Process> {
        let process = self.running.borrow_mut().remove(name);
        process.with_context(|| format!("{name} does not run"))
    }

    pub fn put_back(&self, name: &str, process: Process) {
        self.running.borrow_mut().insert(name.to_owned(), process);
    }

    /// Returns when one ends that should not.
    pub async fn watch(&self) -> Result<()> {
        let mut ended = signal(SignalKind::child())?;
        loop {
            for (name, process) in &mut *self.running.borrow_mut() {
                if let Some(status) = process.child.try_wait()? {
                    bail!("{name} ended unexpectedly: {status}");
                }
            }
            ended.recv().await;
        }
    }

    /// Has all finish their work and leave in order.
    pub async fn stop(&self) -> Result<()> {
        let running = self.running.take();
        for process in running.values() {
            kill_process(process.pid, Signal::TERM)?;
        }
        for (name, mut process) in running {
            let status = process.child.wait().await?;
            ensure!(status.success(), "{name} ended with {status}");
        }
        Ok(())
    }

    /// Ends all that are still there, so that nothing changes any more.
    pub async fn kill(&self) -> Result<()> {
        for (_, process) in self.running.take() {
            process.kill().await?;
        }
        Ok(())
    }
}

impl Process {
    /// SIGSTOP. Returns when the process stands still.
    pub async fn pause(&self) -> Result<()> {
        kill_process(self.pid, Signal::STOP)?;
        let process = WaitId::Pid(self.pid);
        let stopped = move || waitid(process, WaitIdOptions::STOPPED);
        tokio::task::spawn_blocking(stopped).await??;
        Ok(())
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// SIGKILL.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
