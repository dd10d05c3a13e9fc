//! A check holds until the commit.

use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use volguard_tests::scenario::{Site, Sql, Violation, acquire};

use crate::dead;

const LONG: Duration = Duration::from_secs(60);
/// Longer than any call without a wait takes, on a busy machine.
const PROMPTLY: Duration = Duration::from_secs(60);

by_both_routes!(
    cleanup_passes_over_an_acquire_under_way,
    cleanup_passes_over_an_assertion,
    cleanup_passes_over_a_fenced_update,
    cleanup_passes_over_a_change_of_status,
    release_waits_for_an_assertion,
    release_waits_for_a_fenced_update,
);

/// A service that has a lock on `v0` and sends no heartbeats.
pub struct Doomed {
    pub sql: Sql,
    pub service: i64,
    pub token: i64,
}

impl Doomed {
    pub async fn start(site: &Site) -> anyhow::Result<Self> {
        let sql = site.sql().await?;
        sql.run("INSERT INTO app.volumes (id, status) VALUES ('v0', 'in-use')").await?;
        let service = sql.register("doomed", LONG).await?;
        let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
        Ok(Self { sql, service, token })
    }
}

/// Starts `statement` on its own connection, and expects it to wait until `open` commits, but no longer.
async fn must_wait_for(
    site: &Site,
    open: &Sql,
    statement: &str,
    otherwise: &'static str,
) -> anyhow::Result<Option<String>> {
    let observer = site.observer().await?;
    let other = site.sql().await?;
    let statement = statement.to_owned();
    let mut waiting = tokio::spawn(async move { other.text(&statement).await });
    tokio::select! {
        queued = observer.until_queued(1) => queued?,
        ended = &mut waiting => {
            ended??;
            return Err(Violation::SlippedThrough(otherwise).into());
        }
    }
    open.run("COMMIT").await?;
    Ok(timeout(PROMPTLY, waiting).await.context("it waits on after the commit")???)
}

/// While `open` has a transaction that relies on the service, a cleanup finds it busy. Ends the transaction.
async fn must_be_busy(site: &Site, open: &Sql, service: i64, otherwise: &'static str) -> anyhow::Result<()> {
    let cleanup = format!("SELECT state FROM volguard.cleanup(service_id => {service})");
    let state = site.sql().await?.text(&cleanup).await?;
    open.run("COMMIT").await?;
    match state.as_deref() {
        Some("busy") => Ok(()),
        _ => Err(Violation::SlippedThrough(otherwise).into()),
    }
}

/// The lease ends between the insert and its commit. Cleanup must see the row, or the acquire must fail.
async fn cleanup_passes_over_an_acquire_under_way(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let observer = site.observer().await?;
    let service = sql.register("doomed", LONG).await?;
    sql.run("BEGIN").await?;
    let token = sql.number(&acquire(service, "v0", Duration::ZERO)).await?.context("free")?;
    observer.end_lease(service).await?;
    must_be_busy(site, &sql, service, "a cleanup came between an acquire and its commit").await?;
    let cleanup = format!("SELECT locks_released FROM volguard.cleanup(service_id => {service})");
    let released = sql.text(&cleanup).await?;
    let left = observer.sql().number("SELECT count(*) FROM volguard.lock_status").await?;
    if released.as_deref() != Some("1") || left != Some(0) {
        let lock = format!("lock {token} of a service that was cleaned up");
        return Err(Violation::LeftBehind(lock).into());
    }
    Ok(())
}

#[tokio::test]
async fn without_the_gate_an_acquire_slips_past_cleanup() -> anyhow::Result<()> {
    let site = Site::without("ServiceLock")?;
    let violation = Violation::expected_in(cleanup_passes_over_an_acquire_under_way(&site).await);
    assert!(matches!(violation, Violation::SlippedThrough(_)), "{violation}");
    Ok(())
}

/// In an open transaction, `check` says that the token is held: until that ends no cleanup fences its service.
async fn cleanup_passes_over(site: &Site, check: impl Fn(i64) -> String) -> anyhow::Result<()> {
    let Doomed { sql, service, token } = Doomed::start(site).await?;
    sql.run("BEGIN").await?;
    sql.run(&check(token)).await?;
    site.observer().await?.end_lease(service).await?;
    must_be_busy(site, &sql, service, "a cleanup came between a check and its commit").await?;
    sql.run(&format!("SELECT FROM volguard.cleanup(service_id => {service})")).await?;
    dead::answers(&sql, &format!("SELECT volguard.assert_held({token})"), "VG002").await
}

async fn cleanup_passes_over_an_assertion(site: &Site) -> anyhow::Result<()> {
    cleanup_passes_over(site, |token| format!("SELECT volguard.assert_held({token})")).await
}

pub async fn cleanup_passes_over_a_fenced_update(site: &Site) -> anyhow::Result<()> {
    cleanup_passes_over(site, fenced_update).await?;
    let size = site.sql().await?.number("SELECT size FROM app.volumes").await?;
    assert_eq!(size, Some(2), "the update came before the cleanup");
    Ok(())
}

/// A lock that gets a status while a cleanup runs is work, which the cleanup must not drop like a plain lock.
async fn cleanup_passes_over_a_change_of_status(site: &Site) -> anyhow::Result<()> {
    let Doomed { sql, service, token } = Doomed::start(site).await?;
    sql.run("BEGIN").await?;
    sql.run(&format!("SELECT volguard.set_status({token}, 'extending')")).await?;
    site.observer().await?.end_lease(service).await?;
    must_be_busy(site, &sql, service, "a cleanup came between a change of status and its commit").await?;
    let cleanup = format!("SELECT state FROM volguard.cleanup(service_id => {service})");
    let state = sql.text(&cleanup).await?;
    let status = sql.text("SELECT status FROM volguard.lock_status").await?;
    if (state.as_deref(), status.as_deref()) != (Some("fenced"), Some("extending")) {
        let lost = "cleanup dropped work that awaits its repair";
        return Err(Violation::Forgotten(lost.to_owned()).into());
    }
    Ok(())
}

#[tokio::test]
async fn without_the_gate_cleanup_slips_past_an_assertion() -> anyhow::Result<()> {
    let site = Site::without("ServiceLock")?;
    let violation = Violation::expected_in(cleanup_passes_over_an_assertion(&site).await);
    assert!(matches!(violation, Violation::SlippedThrough(_)), "{violation}");
    Ok(())
}

pub fn fenced_update(token: i64) -> String {
    format!(
        "SELECT outcome FROM volguard.conditional_update('app.volumes', '{{\"id\": \"v0\"}}',
             '{{\"size\": {{\"add\": [{{\"column\": \"size\"}}, 1]}}}}', fence => {token})"
    )
}

/// The holder's own release, and an admin's, wait until the checking transaction has ended.
async fn release_waits_for(site: &Site, check: impl Fn(i64) -> String) -> anyhow::Result<()> {
    for release in ["volguard.release({})", "volguard.force_release({}, 'test')"] {
        let Doomed { sql, token, .. } = Doomed::start(site).await?;
        sql.run("BEGIN").await?;
        sql.run(&check(token)).await?;
        let release = format!("SELECT {}", release.replace("{}", &token.to_string()));
        let released = must_wait_for(site, &sql, &release, "a release did not wait for a checked token").await?;
        assert_eq!(released.as_deref(), Some("t"));
        sql.run("DELETE FROM app.volumes").await?;
    }
    Ok(())
}

async fn release_waits_for_an_assertion(site: &Site) -> anyhow::Result<()> {
    release_waits_for(site, |token| format!("SELECT volguard.assert_held({token})")).await
}

async fn release_waits_for_a_fenced_update(site: &Site) -> anyhow::Result<()> {
    release_waits_for(site, fenced_update).await
}

#[tokio::test]
async fn without_the_hold_a_release_slips_past_a_check() -> anyhow::Result<()> {
    let site = Site::without("Hold")?;
    let violation = Violation::expected_in(release_waits_for_an_assertion(&site).await);
    assert!(matches!(violation, Violation::SlippedThrough(_)), "{violation}");
    let site = Site::without("Hold")?;
    let violation = Violation::expected_in(release_waits_for_a_fenced_update(&site).await);
    assert!(matches!(violation, Violation::SlippedThrough(_)), "{violation}");
    Ok(())
}
