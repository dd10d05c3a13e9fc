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
    let output = command.args(options).output().expect("cargo");
    assert_eq!(left(), "", "the next demo would find it: {}", printed(&output));
    output
}

/// What the database still has of a demo.
fn left() -> String {
    let sql = "SELECT 'cluster ' || cluster FROM volguard.cluster_status WHERE cluster = 'volguard_demo' \
               UNION ALL SELECT 'type ' || resource_type FROM volguard.tracked_resources \
               WHERE resource_type LIKE 'volguard%' \
               UNION ALL SELECT concat('lock of ', resource_type, ' ', resource_id) FROM volguard.lock_status \
               WHERE resource_type LIKE 'volguard%' \
               UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'volguard_demo'";
    let url = std::env::var("DATABASE_URL").expect("a database");
    let look = async {
        let volguard = volguard::Volguard::builder().url(&url).connect().await?;
        let rows = volguard.connection().await?.query(sql, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get::<_, String>(0)?)).collect::<anyhow::Result<Vec<_>>>()
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(look).expect("an answer").join("\n")
}

fn printed(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|text| String::from_utf8_lossy(text)).concat()
}

/// It fails, and for this reason: in one of a few plays, since without the guard it is a matter of chance.
fn breaks(guard: &str, rule: &str) {
    let mut last = String::new();
    for _ in 0..5 {
        let output = play(&["--break", guard]);
        last = printed(&output);
        let mut violations = last.lines().filter(|line| line.starts_with("VIOLATION"));
        if output.status.code() == Some(1) && violations.any(|line| line.contains(rule)) {
            return;
        }
    }
    panic!("{last}");
}

#[test]
fn killed_and_paused_managers_violate_nothing() {
    let output = play(&[]);
    let printed = printed(&output);
    assert!(output.status.success(), "{printed}");
    let shown = ["SIGKILL to", "SIGSTOP to", "storage refuses", "by its crash rule"];
    for shown in shown.into_iter().chain(["each has ended exactly once", "0 violations"]) {
        assert!(printed.contains(shown), "no `{shown}`: {printed}");
    }
    // A busy machine may make another manager lose its lease in the second one.
    let is_repeated = (2..7).any(|attempt| printed.contains(&format!("done in attempt {attempt}")));
    assert!(is_repeated, "nothing was done again: {printed}");
}

#[test]
fn a_zombie_is_seen_where_the_storage_has_no_fence() {
    breaks("storage-fence", "a write came after one with a larger token");
}

#[test]
fn managers_are_seen_to_collide_without_locks() {
    breaks("lock", "two hold one key");
    breaks("lock", "work that has not ended exactly once");
}
