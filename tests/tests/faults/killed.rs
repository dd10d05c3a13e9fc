//! A holder that is killed: its lock is free when its lease ends, not before, and without other help.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Site, Sql, Violation, Worker, WorkerOptions, until};

/// A lease long enough that no worker is lost before it is killed, on a busy machine. And how long a waiter waits.
const LONG: Duration = Duration::from_secs(60);
/// How long the lease of a killed worker goes on.
const SOON: Duration = Duration::from_secs(1);
const SETTLED: Duration = Duration::from_secs(60);
/// The limit for the time from the end of the lease until a waiter has the lock, on a busy machine: much less than a
/// waiter waits.
const LIMIT: Duration = Duration::from_secs(20);

by_both_routes!(
    a_plain_lock_is_free_at_the_end_of_the_lease,
    a_lock_is_free_for_a_later_caller,
    work_is_repaired_by_its_rule,
    work_without_a_rule_keeps_its_lock,
    nothing_is_freed_without_auto_cleanup,
);

/// A process that has the lock of `v0`, and is killed. Its lease ends soon.
async fn killed(site: &Site, status: Option<&str>) -> anyhow::Result<i64> {
    let options =
        WorkerOptions { url: site.url(), mode: site.statement_mode(), host: "killed", lease: LONG, janitor: None };
    let mut worker = Worker::start(super::LOCK_WORKER.as_ref(), &options).await?;
    let work = status.map(|status| format!(" {status}"));
    let acquire = format!("acquire 0 v0{}", work.unwrap_or_default());
    worker.ask(&acquire).await?;
    let observer = site.observer().await?;
    worker.kill(&observer).await?;
    observer.end_lease_in(worker.service_id(), SOON).await?;
    Ok(worker.service_id())
}

async fn heir(site: &Site) -> anyhow::Result<(Sql, i64)> {
    let sql = site.sql().await?;
    let service = sql.register("heir", LONG).await?;
    Ok((sql, service))
}

/// Compares, by the database's clock, the time when the heir got its lock with the end of the dead holder's lease.
async fn in_time(site: &Site, dead: i64, token: i64) -> anyhow::Result<()> {
    let took = site.observer().await?.lateness(dead, token).await?;
    if took > LIMIT {
        let (what, limit) = ("taking over from a dead holder", LIMIT);
        return Err(Violation::Late { what, took, limit }.into());
    }
    Ok(())
}

async fn a_plain_lock_is_free_at_the_end_of_the_lease(site: &Site) -> anyhow::Result<()> {
    let (sql, service) = heir(site).await?;
    let dead = killed(site, None).await?;
    let token = sql.acquire(service, "v0", LONG).await?.context("in time")?;
    in_time(site, dead, token).await?;
    sql.release(token).await?;
    site.observer().await?.until_settled(SETTLED).await
}

/// Even with a wait of zero: the call finds the service dead and cleans it up on the way.
async fn a_lock_is_free_for_a_later_caller(site: &Site) -> anyhow::Result<()> {
    let (sql, service) = heir(site).await?;
    let dead = killed(site, None).await?;
    let token =
        until("the lock of a dead holder", async || Ok(sql.acquire(service, "v0", Duration::ZERO).await?)).await?;
    in_time(site, dead, token).await
}

/// A volume that is being extended, with a rule for a crash.
async fn volume(site: &Site, rule: bool) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    sql.run("INSERT INTO app.volumes (id, status) VALUES ('v0', 'extending')").await?;
    sql.run("SELECT volguard.track_resource('volume', 'app.volumes')").await?;
    if rule {
        let on_crash = r#"SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}')"#;
        sql.run(on_crash).await?;
    }
    Ok(())
}

async fn status(sql: &Sql) -> anyhow::Result<Option<String>> {
    Ok(sql.text("SELECT status FROM app.volumes WHERE id = 'v0'").await?)
}

pub async fn work_is_repaired_by_its_rule(site: &Site) -> anyhow::Result<()> {
    volume(site, true).await?;
    let (sql, service) = heir(site).await?;
    let dead = killed(site, Some("extending")).await?;
    let token = sql.acquire(service, "v0", LONG).await?.context("in time")?;
    assert_eq!(status(&sql).await?.as_deref(), Some("error"), "repaired before the lock passed on");
    in_time(site, dead, token).await
}

/// No service may touch the volume before an admin has examined it.
async fn work_without_a_rule_keeps_its_lock(site: &Site) -> anyhow::Result<()> {
    volume(site, false).await?;
    let (sql, service) = heir(site).await?;
    let dead = killed(site, Some("extending")).await?;
    let token = sql.acquire(service, "v0", SOON + Duration::from_secs(2)).await?;
    if token.is_some() {
        let lock = "the lock of work that awaits its repair was given away";
        return Err(Violation::Forgotten(lock.to_owned()).into());
    }
    let cleanup = format!("SELECT state FROM volguard.cleanup(service_id => {dead})");
    // The first round fences it, the second one looks at its work.
    sql.run(&cleanup).await?;
    assert_eq!(sql.text(&cleanup).await?.as_deref(), Some("unavailable"));
    // The admin has examined it, and resets the resource.
    sql.run("SELECT volguard.reset_resource('volume', 'v0')").await?;
    sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    assert_eq!(status(&sql).await?.as_deref(), Some("extending"));
    Ok(())
}

async fn nothing_is_freed_without_auto_cleanup(site: &Site) -> anyhow::Result<()> {
    let (sql, service) = heir(site).await?;
    let dead = killed(site, None).await?;
    // In one transaction, because a pooler gives the connection to other clients afterwards.
    sql.run("BEGIN; SET LOCAL volguard.auto_cleanup = off").await?;
    let token = sql.acquire(service, "v0", SOON + Duration::from_secs(2)).await?;
    sql.run("COMMIT").await?;
    assert_eq!(token, None);
    let cleanup = format!("SELECT locks_released FROM volguard.cleanup(service_id => {dead})");
    assert_eq!(sql.number(&cleanup).await?, Some(1));
    sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    Ok(())
}
