//! A release while another service waits for the lock, and a server that crashes right after the answer, or that waits
//! for a standby, whatever `synchronous_commit` says. Each test has a server of its own.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_postgres::Error;
use volguard_tests::scenario::{Sql, Violation, until};
use volguard_tests::{PrivateServer, Profile};

use crate::server::{manager, power_failure, server};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);
const ASLEEP: &str = "SELECT count(*) = 1 FROM pg_stat_activity
    WHERE wait_event_type = 'Extension' AND query ~ 'volguard.acquire'";

/// A holder, and a waiter asleep at the head of the wait queue, whose transaction
/// goes on after it has the lock: so its commit does not flush the release.
struct Pair {
    superuser: Sql,
    holder: Sql,
    token: i64,
    waiting: JoinHandle<Result<(Sql, Option<i64>), Error>>,
}

impl Pair {
    /// The setting applies to the holder, from its release on.
    async fn new(server: &PrivateServer, synchronous_commit: &str) -> anyhow::Result<Pair> {
        let url = manager(server);
        let superuser = Sql::connect(&server.url()).await?;
        let (holder, waiter) = (Sql::connect(&url).await?, Sql::connect(&url).await?);
        let service = holder.register("holder", LEASE).await?;
        let token = holder.acquire(service, "v0", Duration::ZERO).await?;
        let set = format!("SET synchronous_commit = {synchronous_commit}");
        holder.run(&set).await?;
        let service = waiter.register("waiter", LEASE).await?;
        waiter.run("BEGIN").await?;
        let waiting = tokio::spawn(async move {
            let token = waiter.acquire(service, "v0", LONG).await?;
            Ok((waiter, token))
        });
        until("a waiter", async || Ok(superuser.holds(ASLEEP).await?.then_some(()))).await?;
        Ok(Pair { superuser, holder, token: token.context("free")?, waiting })
    }
}

/// The statements of the holder: the release alone, or with another statement before or after it.
const SENT: [&str; 3] = ["{release}", "BEGIN; {update}; {release}; COMMIT", "BEGIN; {release}; {update}; COMMIT"];

/// The release is answered, the waiter has the lock, and the server crashes at that moment. What is on disk?
async fn crash_after_a_release(mut server: PrivateServer, synchronous_commit: &str) -> anyhow::Result<()> {
    for sent in SENT {
        let pair = Pair::new(&server, synchronous_commit).await?;
        let volume = "INSERT INTO app.volumes VALUES ('v0', 'detaching')";
        pair.superuser.run(volume).await?;
        let release = format!("SELECT volguard.release({})", pair.token);
        let update = "UPDATE app.volumes SET status = 'available'";
        let sent = sent.replace("{release}", &release).replace("{update}", update);
        pair.holder.run(&sent).await?;
        let (waiter, won) = pair.waiting.await??;
        won.context("in time")?;
        power_failure(&mut server)?;
        drop(waiter);

        let updated = sent.contains(update);
        let undone = format!(
            "SELECT EXISTS (SELECT FROM volguard.workers)
                 OR {updated} AND EXISTS (SELECT FROM app.volumes WHERE status <> 'available')"
        );
        let superuser = Sql::connect(&server.url()).await?;
        if superuser.holds(&undone).await? {
            let what = format!("answered, and undone by a crash: {sent}");
            return Err(Violation::Forgotten(what).into());
        }
        superuser.run("DELETE FROM app.volumes").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_release_is_on_disk_when_it_is_answered() -> anyhow::Result<()> {
    crash_after_a_release(server(Profile::Debug)?, "on").await?;
    crash_after_a_release(server(Profile::Debug)?, "off").await
}

/// Neither the session nor the extension makes a commit wait for the disk.
#[tokio::test]
async fn without_a_wait_for_the_disk_a_crash_brings_the_lock_back() -> anyhow::Result<()> {
    let server = server(Profile::Sabotage)?;
    server.psql("ALTER DATABASE volguard SET volguard.sabotage = 'Durable'")?;
    let violation = Violation::expected_in(crash_after_a_release(server, "off").await);
    assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
    Ok(())
}

/// A release that waits for a standby is not visible before the standby has it. Here there is no standby.
async fn with_a_standby_that_is_away(server: PrivateServer, synchronous_commit: &str) -> anyhow::Result<()> {
    let Pair { superuser, holder, token, waiting } = Pair::new(&server, synchronous_commit).await?;
    let standbys = async |names: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        superuser.run(&set).await?;
        superuser.run("SELECT pg_reload_conf()").await
    };
    let stuck = async |pid: i64| {
        let query = format!("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}");
        anyhow::Ok(superuser.holds(&query).await?.then_some(()))
    };
    standbys("away").await?;
    let other = Sql::connect(&manager(&server)).await?;
    let pid = other.pid().await?;
    let writing = tokio::spawn(async move {
        // The first few may finish before all processes of the server know of the standby.
        let insert = "INSERT INTO app.volumes VALUES (gen_random_uuid(), 'new')";
        while other.run(insert).await.is_ok() {}
    });
    until("a commit that waits for a standby", async || stuck(pid).await).await?;
    until("the holder to know of it", async || {
        let names = holder.text("SHOW synchronous_standby_names").await?;
        Ok((names.as_deref() == Some("away")).then_some(()))
    })
    .await?;
    let pid = holder.pid().await?;
    let releasing = tokio::spawn(async move { holder.release(token).await });
    until("a release that waits for a standby", async || {
        let early = "it is over before the standby has it".to_owned();
        if releasing.is_finished() {
            return Err(Violation::Early(early).into());
        }
        stuck(pid).await
    })
    .await?;
    writing.abort();
    let held = format!("SELECT EXISTS (SELECT FROM volguard.workers WHERE token = {token})");
    assert!(superuser.holds(&held).await? && !waiting.is_finished());
    standbys("").await?;
    assert!(releasing.await??);
    let (waiter, won) = waiting.await??;
    won.context("in time")?;
    waiter.run("COMMIT").await?;
    Ok(())
}

#[tokio::test]
async fn a_release_is_not_seen_before_the_standby_has_it() -> anyhow::Result<()> {
    for synchronous_commit in ["on", "local", "off"] {
        with_a_standby_that_is_away(server(Profile::Debug)?, synchronous_commit).await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_the_wait_a_release_is_seen_before_the_standby_has_it() -> anyhow::Result<()> {
    let server = server(Profile::Sabotage)?;
    server.psql("ALTER DATABASE volguard SET volguard.sabotage = 'Durable'")?;
    let violation = Violation::expected_in(with_a_standby_that_is_away(server, "local").await);
    assert!(matches!(violation, Violation::Early(_)), "{violation}");
    Ok(())
}
