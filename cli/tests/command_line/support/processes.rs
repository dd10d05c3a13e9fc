//! The processes of a command, and when each was last seen alive.

use super::Program;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use volguard_tests::scenario::until;

/// How often each is looked at.
const OFTEN: Duration = Duration::from_millis(20);

/// The name, and the parent, of a process that lives. What has ended lives no more, whether or not an init has waited
/// for it.
fn alive(pid: i32) -> Option<(String, i32)> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let name = name.split_once('(')?.1.to_owned();
    (!matches!(state, "Z" | "X")).then_some((name, parent))
}

/// A living child with this name.
pub(crate) fn child_named(parent: i32, name: &str) -> Option<i32> {
    let pids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| alive(*pid) == Some((name.to_owned(), parent)))
}

pub(crate) fn is_alive(pid: i32) -> bool {
    alive(pid).is_some()
}

/// Processes that are watched. Those that live are killed when it is dropped.
pub(crate) struct Processes {
    pids: Vec<i32>,
    last_alive: Arc<Mutex<SystemTime>>,
    done: Arc<AtomicBool>,
    watching: Option<JoinHandle<()>>,
}

impl Processes {
    /// Those whose ids the command has written into the file `pids`, as soon as they are `count`.
    pub(crate) async fn of(program: &Program, count: usize) -> anyhow::Result<Processes> {
        let told = until("the processes of the command", async || {
            let text = program.said("pids").unwrap_or_default();
            let pids: Vec<i32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            Ok((text.ends_with('\n') && pids.len() == count).then_some(pids))
        });
        Ok(Processes::watch(told.await?))
    }

    fn watch(pids: Vec<i32>) -> Processes {
        let (last_alive, done) = (Arc::new(Mutex::new(SystemTime::now())), Arc::new(AtomicBool::new(false)));
        let (watched, last, end) = (pids.clone(), Arc::clone(&last_alive), Arc::clone(&done));
        let watching = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                // Before the look: what lives then has lived now.
                let now = SystemTime::now();
                if watched.iter().any(|pid| is_alive(*pid)) {
                    *last.lock().expect("no thread panics with it") = now;
                }
                std::thread::sleep(OFTEN);
            }
        });
        Processes { pids, last_alive, done, watching: Some(watching) }
    }

    /// When one of them was last seen alive.
    pub(crate) fn last_alive(&self) -> SystemTime {
        *self.last_alive.lock().expect("no thread panics with it")
    }

    pub(crate) fn any_alive(&self) -> bool {
        self.pids.iter().any(|pid| is_alive(*pid))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(watching) = self.watching.take() {
            let _ = watching.join();
        }
        for pid in self.pids.iter().filter(|pid| is_alive(**pid)) {
            let _ = Pid::from_raw(*pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}
