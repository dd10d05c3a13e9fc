//! A holder that is stopped through the end of its lease and continues.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Site, Sql, Violation, Worker, WorkerOptions, until};

use crate::dead::{STATE, TRACKED, what_the_dead_may_not};

/// Long enough that no worker is lost before it is stopped, on a busy machine.
const LEASE: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(60);

by_both_routes!(
    one_that_lost_its_lock_can_do_nothing,
    a_session_that_was_not_fenced_knows_that_it_is_lost,
    one_that_wakes_in_time_goes_on,
);

async fn holder(site: &Site, lease: Duration) -> anyhow::Result<(Worker, i64)> {
    let options = WorkerOptions { url: site.url(), mode: site.statement_mode(), host: "zombie", lease, janitor: None };
    let mut worker = Worker::start(super::LOCK_WORKER.as_ref(), &options).await?;
    let token = worker.ask("acquire 0 v0").await?.parse()?;
    Ok((worker, token))
}

async fn one_that_lost_its_lock_can_do_nothing(site: &Site) -> anyhow::Result<()> {
    let heir = site.sql().await?;
    heir.run("INSERT INTO app.volumes (id, status) VALUES ('v0', 'in-use')").await?;
    heir.run(TRACKED).await?;
    let (mut zombie, token) = holder(site, LEASE).await?;
    zombie.freeze()?;
    let service = heir.register("heir", LONG).await?;
    let heirloom = heir.acquire(service, "v0", LONG).await?.context("free at the end of the lease")?;
    assert!(heirloom > token);
    let before = heir.text(STATE).await?;

    zombie.wake()?;
    // Its first check of the clock after the stop, whatever its timers have done by then.
    expect("lost", "LeaseRanOut", zombie.ask("lost").await?)?;
    for verb in ["assert", "update", "acquire 0 elsewhere"] {
        match zombie.ask(verb).await {
            Ok(done) => expect(verb, "a refusal", done)?,
            Err(refusal) => assert!(refusal.to_string().contains("session is lost"), "{refusal:#}"),
        }
    }
    // What the client blocks, the server refuses too.
    for (statement, expected) in what_the_dead_may_not(zombie.service_id(), token) {
        let statement = statement.replace('\n', " ");
        expect(&statement, expected, zombie.ask(&format!("sql {statement}")).await?)?;
    }
    expect("release", "false", zombie.ask("release").await?)?;
    assert_eq!(heir.text(STATE).await?, before, "nothing has changed");
    Ok(heir.run(&format!("SELECT volguard.assert_held({heirloom})")).await?)
}

fn expect(act: &str, expected: &str, got: String) -> Result<(), Violation> {
    if got == expected {
        return Ok(());
    }
    Err(Violation::Trespass { act: act.to_owned(), expected: expected.to_owned(), got })
}

async fn is_in_state(sql: &Sql, service: i64, state: &str) -> anyhow::Result<bool> {
    let look = format!("SELECT state = '{state}' FROM volguard.service_status WHERE service_id = {service}");
    Ok(sql.holds(&look).await?)
}

/// The server would accept its heartbeat again. But the session
/// can't know whether another service has had its lock meanwhile.
async fn a_session_that_was_not_fenced_knows_that_it_is_lost(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let (mut zombie, _) = holder(site, LEASE).await?;
    let service = zombie.service_id();
    zombie.freeze()?;
    until("the end of the lease", async || Ok(is_in_state(observer.sql(), service, "down").await?.then_some(())))
        .await?;
    zombie.wake()?;
    expect("lost", "LeaseRanOut", zombie.ask("lost").await?)?;
    let cleanup = format!("SELECT state FROM volguard.cleanup(service_id => {service})");
    let state = observer.sql().text(&cleanup).await?;
    assert_eq!(state.as_deref(), Some("cleaned"), "no heartbeat has revived it");
    Ok(())
}

async fn one_that_wakes_in_time_goes_on(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let (mut sleeper, _) = holder(site, Duration::from_secs(15)).await?;
    let service = sleeper.service_id();
    sleeper.freeze()?;
    // Its heartbeats come every 5 s: it has missed one.
    let missed = format!("SELECT silent_for >= '6 s' FROM volguard.service_status WHERE service_id = {service}");
    until("a missed heartbeat", async || Ok(observer.sql().holds(&missed).await?.then_some(()))).await?;
    sleeper.wake()?;
    expect("lost", "no", sleeper.ask("lost").await?)?;
    sleeper.ask("assert").await?;
    expect("release", "true", sleeper.ask("release").await?)?;
    Ok(())
}
