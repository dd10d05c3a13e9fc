//! The demo as a test, and without one guard each: the checker must see its absence.

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// One at a time: they share a schema.
static STAGE: Mutex<()> = Mutex::new(());

/// Plays a short version of it under `DATABASE_URL`.
fn play(options: &[&str]) -> Output {
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    // Where the demo leaves its files if there is something to find in them.
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "-p", "volguard"]);
    command.args(["--example", "demo", "--", "--operations", "80"]);
    command.env("TMPDIR", directory.path());
    command.args(options).output().expect("cargo")
}

fn printed(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|text| String::from_utf8_lossy(text)).concat()
}

/// It fails, and for this reason.
fn breaks(guard: &str, rule: &str) {
    let output = play(&["--break", guard]);
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let mut violations = printed.lines().filter(|line| line.starts_with("VIOLATION"));
    assert!(violations.any(|line| line.contains(rule)), "{printed}");
}

#[test]
fn a_killed_and_a_paused_manager_violate_nothing() {
    let output = play(&[]);
    let printed = printed(&output);
    assert!(output.status.success(), "{printed}");
    for shown in ["SIGKILL to", "SIGSTOP to", "storage refuses", "0 violations"] {
        assert!(printed.contains(shown), "no `{shown}`: {printed}");
    }
}

#[test]
fn a_zombie_is_seen_where_the_storage_has_no_fence() {
    breaks("storage-fence", "a write came after one with a larger token");
}

#[test]
fn managers_are_seen_to_collide_without_locks() {
    breaks("lock", "two hold one key");
}
