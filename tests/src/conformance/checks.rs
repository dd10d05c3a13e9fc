//! The checks, by name.

mod answers;
mod connections;
mod endings;
mod lease;
mod others;
mod serving;
mod start;

use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Builder;

use super::network::Call;
use super::stage::{Stage, Subject};

/// What was measured, or why the program does not conform.
pub type Verdict = anyhow::Result<String>;

type Play = fn(Subject) -> Pin<Box<dyn Future<Output = Verdict>>>;

/// One rule, and how it is checked.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name in docs/write-a-client.md.
    pub name: &'static str,
    /// The rule, in a few words.
    pub rule: &'static str,
    play: Play,
}

impl Check {
    /// Runs a program under it, on the thread of the caller.
    ///
    /// # Errors
    /// Why the program does not conform, or an error of the server.
    pub fn run(&self, subject: &Subject) -> Verdict {
        // The check may block its own thread; the network goes on in another.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on((self.play)(subject.clone()))
    }
}

macro_rules! checks {
    ($($name:literal, $rule:literal, $place:ident :: $play:ident, $stage:ident;)+) => {
        /// All checks.
        pub const CHECKS: &[Check] = &[$(Check {
            name: $name,
            rule: $rule,
            play: |subject| Box::pin(async move { $place::$play(&mut Stage::$stage(&subject).await?).await }),
        }),+];
    };
}

checks! {
    "serves", "does each piece under its lock, by a fenced write and a finish", serving::serves, new;
    "heartbeat", "heartbeats go on while it waits and works, on their own connection", serving::heartbeat, new;
    "lease", "gives up before the server can give its locks away", lease::black_hole, new;
    "no-heartbeats", "stops all work when only the heartbeats fail", lease::heartbeats_stopped, new;
    "new-connection", "a heartbeat without an answer is sent on a new connection", lease::mute_heartbeat, new;
    "pause", "a pause beyond the lease loses it", lease::paused, new;
    "fenced", "a fence ends it at once", lease::fenced, new;
    "next-work-lost", "work in a lost answer of next_work is not forgotten", answers::next_work, new;
    "acquire-lost", "a lock in a lost answer of acquire is not forgotten", answers::acquire, new;
    "finish-lost", "a lost answer of finish_work is asked for again", answers::finish_work, new;
    "release-lost", "a lost release is repeated", answers::release, new;
    "cut-waiting", "a connection that breaks while it waits is replaced", connections::cut_while_waiting, new;
    "cut-working", "a connection that breaks while it works is replaced", connections::cut_while_working, new;
    "restart", "a restart of the server within the lease is survived", connections::restart, with_own_server;
    "refused", "a token that was taken away ends the piece alone", others::refused, new;
    "repairs", "the work of a killed manager is repaired and done", others::repairs, new;
    "stop-working", "SIGTERM at work: ends the piece, takes no other, leaves", endings::at_work, new;
    "stop-waiting", "SIGTERM while it waits for work: leaves", endings::while_waiting, new;
    "stop-cut-off", "SIGTERM without a server: ends with its lease", endings::cut_off, new;
    "start", "a start that can't succeed ends with a message", start::hopeless, new;
}

/// What a program may not call once it is lost.
const WORK: &[&str] = &[
    "next_work",
    "acquire",
    "acquire_all",
    "start_work",
    "finish_work",
    "conditional_update",
    "assert_held",
    "set_status",
];

/// What it may call then, but not on the connection of its heartbeats: it has stopped, and gives back what it had.
const GIVES_BACK: &[&str] = &["release", "release_all", "release_requests", "reconcile"];

/// The same for what it does for others.
const CLEANUP: &[&str] = &["auto_cleanup", "run_cleanup", "cleanup"];

fn is_one_of(call: &Call, verbs: &[&str]) -> bool {
    verbs.iter().any(|verb| call.is(verb))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
