//! Work that was started and not finished, because its process was killed.

use std::time::Duration;

use anyhow::{Context, bail};
use volguard_tests::scenario::{Observer, Site, Sql, Violation, Worker, WorkerOptions, until};

/// Long enough that no worker is lost on a busy machine. That of a killed one is ended by hand.
const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(60);

by_both_routes!(
    the_rule_repairs_what_was_begun,
    lock_and_status_are_never_apart,
    killed_at_any_moment_the_volume_is_in_order,
);

/// A volume, and the rule for a crash while it is being extended.
const VOLUME: &str = r#"
    INSERT INTO app.volumes (id, status) VALUES ('v0', 'available');
    SELECT volguard.track_resource('volume', 'app.volumes');
    SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}');"#;

async fn worker(site: &Site) -> anyhow::Result<Worker> {
    let options =
        WorkerOptions { url: site.url(), mode: site.statement_mode(), host: "killed", lease: LEASE, janitor: None };
    Worker::start(super::LOCK_WORKER.as_ref(), &options).await
}

async fn heir(site: &Site) -> anyhow::Result<(Sql, i64)> {
    let sql = site.sql().await?;
    sql.run(VOLUME).await?;
    let service = sql.register("heir", LONG).await?;
    Ok((sql, service))
}

/// Starts work on the volume in any state, finishes it, and returns that state.
async fn put_in_order(sql: &Sql, service: i64) -> anyhow::Result<String> {
    let start = format!(
        r#"SELECT token || ' ' || (new_row ->> 'size') FROM volguard.start_work({service}, 'volume', 'v0',
             '{{"status": "repairing", "size": {{"case": [{{"when": {{"where": {{"status": "available"}}}}, "then": 1}},
                                                       {{"when": {{"where": {{"status": "error"}}}}, "then": 2}}], "else": 3}}}}',
             wait => '{} s')"#,
        LONG.as_secs()
    );
    let started = sql.text(&start).await?.context("the lock of a dead holder")?;
    let (token, state) = started.split_once(' ').context("token and size")?;
    let finish = format!(r#"SELECT outcome FROM volguard.finish_work({token}, '{{"status": "available"}}')"#);
    assert_eq!(sql.text(&finish).await?.as_deref(), Some("updated"));
    Ok(match state {
        "1" => "available",
        "2" => "error",
        _ => "something else",
    }
    .to_owned())
}

async fn the_rule_repairs_what_was_begun(site: &Site) -> anyhow::Result<()> {
    let (sql, service) = heir(site).await?;
    let mut worker = worker(site).await?;
    assert_eq!(worker.ask("start v0").await?, "true");
    let observer = site.observer().await?;
    worker.kill(&observer).await?;
    observer.end_lease(worker.service_id()).await?;
    let state = put_in_order(&sql, service).await?;
    assert_eq!(state, "error", "repaired before the lock passed on");
    Ok(())
}

/// Polls until it has seen the volume in work and at rest a
/// hundred times in turn, each time both by lock and by status.
async fn watch(observer: &Observer) -> anyhow::Result<()> {
    const TURNS: usize = 100;
    const STATES: [&str; 2] = ["extending extending", "available"];
    // One statement, so that both are read at one moment.
    let look = "SELECT concat_ws(' ', v.status, l.status) FROM app.volumes AS v
                LEFT JOIN volguard.lock_status AS l ON l.resource_id = v.id WHERE v.id = 'v0'";
    for state in STATES.iter().cycle().take(TURNS * STATES.len()) {
        until("the other state", async || {
            let seen = observer.sql().text(look).await?.context("a volume")?;
            if !STATES.contains(&seen.as_str()) {
                return Err(Violation::Apart(seen).into());
            }
            Ok((seen == *state).then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn lock_and_status_are_never_apart(site: &Site) -> anyhow::Result<()> {
    let (_sql, _service) = heir(site).await?;
    let mut worker = worker(site).await?;
    worker.tell("work v0").await?;
    watch(&site.observer().await?).await
}

/// The same work in four steps: a reader sees the lock without the status, or the status without the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_one_commit_lock_and_status_are_apart() -> anyhow::Result<()> {
    let site = Site::new(volguard_tests::scenario::Route::Direct)?;
    let (_sql, _service) = heir(&site).await?;
    let mut worker = worker(&site).await?;
    worker.tell("steps v0").await?;
    let violation = Violation::expected_in(watch(&site.observer().await?).await);
    assert!(matches!(violation, Violation::Apart(_)), "{violation}");
    Ok(())
}

/// Whenever the process dies, the volume is as it was, or finished, or repaired by its rule.
async fn killed_at_any_moment_the_volume_is_in_order(site: &Site) -> anyhow::Result<()> {
    const ROUNDS: usize = 5;
    let (sql, service) = heir(site).await?;
    let observer = site.observer().await?;
    for round in 0..ROUNDS {
        let mut worker = worker(site).await?;
        worker.tell("work v0").await?;
        // Each dies after a different number of volumes.
        for state in ["extending", "available"].iter().cycle().take(round + 1) {
            let look = format!("SELECT status = '{state}' FROM app.volumes WHERE id = 'v0'");
            let state = until("a state of the volume", async || Ok(observer.sql().holds(&look).await?.then_some(())));
            tokio::select! {
                reply = worker.reply() => bail!("the worker works no more: {reply:?}"),
                seen = state => seen?,
            }
        }
        // Otherwise the last statement that it sent could run in the middle of the next step, or later.
        worker.kill(&observer).await?;
        observer.end_lease(worker.service_id()).await?;
        let state = put_in_order(&sql, service).await?;
        if !["available", "error"].contains(&state.as_str()) {
            let volume = format!("a volume that is {state} after its worker's death");
            return Err(Violation::LeftBehind(volume).into());
        }
    }
    Ok(())
}
