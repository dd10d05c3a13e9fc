//! A release that somebody waits for: the next holder sees it before it is on disk, its caller is told after that. Each test
//! has a server of its own.

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

/// A holder, and a waiter asleep at the head of the line, whose transaction goes on after it has the lock: so it isn't its
/// commit that brings the release to the disk.
struct Pair {
    server: PrivateServer,
    superuser: Sql,
    holder: Sql,
    token: i64,
    waiting: JoinHandle<Result<(Sql, Option<i64>), Error>>,
}

impl Pair {
    async fn new(guards_removed: &str) -> anyhow::Result<Pair> {
        let profile = match guards_removed {
            "" => Profile::Debug,
            _ => Profile::Sabotage,
        };
        let server = server(profile)?;
        if profile == Profile::Sabotage {
            server.psql(&format!(
                "ALTER DATABASE volguard SET volguard.sabotage = '{guards_removed}'"
            ))?;
        }
        let url = manager(&server);
        let superuser = Sql::connect(&server.url()).await?;
        let (holder, waiter) = (Sql::connect(&url).await?, Sql::connect(&url).await?);
        let service = holder.register("holder", LEASE).await?;
        let token = holder.acquire(service, "v0", Duration::ZERO).await?;
        let service = waiter.register("waiter", LEASE).await?;
        waiter.run("BEGIN").await?;
        let waiting = tokio::spawn(async move {
            let token = waiter.acquire(service, "v0", LONG).await?;
            Ok((waiter, token))
        });
        until("a waiter", async || {
            Ok(superuser.holds(ASLEEP).await?.then_some(()))
        })
        .await?;
        Ok(Pair {
            server,
            superuser,
            holder,
            token: token.context("free")?,
            waiting,
        })
    }

    fn release(&self) -> String {
        format!("SELECT volguard.release({})", self.token)
    }

    /// The holder runs this, the waiter has the lock, and the server crashes at that moment. What has the disk?
    async fn crash_after(self, release: &str) -> anyhow::Result<()> {
        self.holder.run(release).await?;
        let (waiter, won) = self.waiting.await??;
        won.context("in time")?;
        let mut server = self.server;
        power_failure(&mut server)?;
        drop(waiter);
        let sql = Sql::connect(&server.url()).await?;
        let lost = "SELECT EXISTS (SELECT FROM volguard.workers)
            OR EXISTS (SELECT FROM app.volumes WHERE status = 'detaching')";
        if sql.holds(lost).await? {
            let what = "a transaction that was answered and then undone by a crash".to_owned();
            return Err(Violation::Forgotten(what).into());
        }
        Ok(())
    }
}

async fn a_release(guards_removed: &str) -> anyhow::Result<()> {
    let pair = Pair::new(guards_removed).await?;
    let release = pair.release();
    pair.crash_after(&release).await
}

#[tokio::test]
async fn a_release_is_on_disk_when_it_is_answered() -> anyhow::Result<()> {
    a_release("").await
}

/// Which shows as well that it was seen before.
#[tokio::test]
async fn without_the_flush_a_crash_brings_the_lock_back() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_release("Flush").await);
    assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
    Ok(())
}

/// Without the flush of releases that are seen early: those of transactions that write more are none.
async fn a_release_and_more(guards_removed: &str) -> anyhow::Result<()> {
    for before in [true, false] {
        let pair = Pair::new(guards_removed).await?;
        let superuser = &pair.superuser;
        superuser
            .run("INSERT INTO app.volumes VALUES ('v0', 'detaching')")
            .await?;
        let update = "UPDATE app.volumes SET status = 'available'";
        let release = match before {
            true => format!("BEGIN; {update}; {}; COMMIT", pair.release()),
            false => format!("BEGIN; {}; {update}; COMMIT", pair.release()),
        };
        pair.crash_after(&release).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_writes_more_is_seen_when_it_is_on_disk() -> anyhow::Result<()> {
    a_release_and_more("Flush").await
}

#[tokio::test]
async fn without_a_look_at_what_it_writes_it_is_seen_before() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_release_and_more("Flush, Alone").await);
    assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
    Ok(())
}

/// A release that waits for a standby is not seen before the standby has it. Here there is none.
async fn with_a_standby_that_is_away(guards_removed: &str) -> anyhow::Result<()> {
    let Pair {
        server,
        superuser,
        holder,
        token,
        waiting,
    } = Pair::new(guards_removed).await?;
    let standbys = async |names: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        superuser.run(&set).await?;
        superuser.run("SELECT pg_reload_conf()").await
    };
    let stuck = async |pid: i64| {
        let query =
            format!("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}");
        anyhow::Ok(superuser.holds(&query).await?.then_some(()))
    };
    standbys("away").await?;
    let other = Sql::connect(&manager(&server)).await?;
    let pid = other.pid().await?;
    let writing = tokio::spawn(async move {
        // The first few may be done before all of the server knows of the standby.
        let insert = "INSERT INTO app.volumes VALUES (gen_random_uuid(), 'new')";
        while other.run(insert).await.is_ok() {}
    });
    until("a commit that waits for a standby", async || {
        stuck(pid).await
    })
    .await?;
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
    drop(server);
    Ok(())
}

#[tokio::test]
async fn a_release_that_waits_for_a_standby_is_not_seen_before() -> anyhow::Result<()> {
    with_a_standby_that_is_away("").await
}

#[tokio::test]
async fn without_a_look_for_standbys_it_is() -> anyhow::Result<()> {
    let violation = Violation::expected_in(with_a_standby_that_is_away("Standby").await);
    assert!(matches!(violation, Violation::Early(_)), "{violation}");
    Ok(())
}
