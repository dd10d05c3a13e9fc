//! A server that crashes while locks are held. Each test has its own server.

use std::time::Duration;

use anyhow::Context;
use uuid::Uuid;
use volguard::Volguard;
use volguard_tests::scenario::{Sql, Violation, furnish, sqlstate, until, url};
use volguard_tests::{PrivateServer, Profile};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);

/// A server whose commits are durable only if they wait for the disk: its WAL writer is too slow for every test.
pub fn server(profile: Profile) -> anyhow::Result<PrivateServer> {
    let server = PrivateServer::builder()
        .profile(profile)
        .setting("wal_writer_delay", "10s")
        .setting("autovacuum", "off")
        .start()?;
    furnish(&server)?;
    Ok(server)
}

pub fn manager(server: &PrivateServer) -> String {
    url("manager", server.port(), "volguard")
}

pub fn power_failure(server: &mut PrivateServer) -> anyhow::Result<()> {
    server.crash()?;
    Ok(server.restart()?)
}

/// Takes the locks of many keys and returns their tokens.
async fn take(sql: &Sql, service: i64, kind: &str, count: usize) -> anyhow::Result<Vec<i64>> {
    let mut tokens = Vec::new();
    for number in 0..count {
        let token = sql.acquire(service, &format!("{kind}-{number}"), Duration::ZERO).await?;
        tokens.push(token.context("free")?);
    }
    Ok(tokens)
}

/// Every later token is larger than every earlier one, whatever their keys: one counter serves all.
pub fn growing(earlier: &[i64], later: &[i64]) -> Result<(), Violation> {
    let (last, first) = (earlier.iter().max(), later.iter().min());
    if let (Some(&earlier), Some(&later)) = (last, first)
        && later <= earlier
    {
        let key = "any key".to_owned();
        return Err(Violation::TokenWentBack { key, earlier, later });
    }
    Ok(())
}

async fn all_held(sql: &Sql, tokens: &[i64]) -> anyhow::Result<()> {
    for token in tokens {
        if let Err(error) = sql.run(&format!("SELECT volguard.assert_held({token})")).await {
            let lock = format!("lock {token} is gone: {}", sqlstate(&error));
            return Err(Violation::Forgotten(lock).into());
        }
    }
    Ok(())
}

#[tokio::test]
async fn locks_survive_a_crash_and_tokens_go_on() -> anyhow::Result<()> {
    let mut server = server(Profile::Debug)?;
    let url = manager(&server);
    let sql = Sql::connect(&url).await?;
    let service = sql.register("a", LEASE).await?;
    let before = take(&sql, service, "before", 40).await?;
    power_failure(&mut server)?;
    let sql = Sql::connect(&url).await?;
    all_held(&sql, &before).await?;
    let taken = sql.acquire(service, "before-0", Duration::ZERO).await?;
    assert_eq!(taken, None, "it is held");
    growing(&before, &take(&sql, service, "after", 40).await?)?;
    Ok(())
}

/// The client reconnects: the session survives the crash if the server is back before its lease ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_a_crash() -> anyhow::Result<()> {
    let mut server = server(Profile::Debug)?;
    let builder = Volguard::builder().url(&manager(&server)).connect_timeout(Duration::from_secs(20));
    let volguard = builder.connect().await?;
    let session = volguard.register("a", "test").lease(LEASE).await?;
    let lock = session.acquire(("volume", "v0")).await?.context("free")?;
    power_failure(&mut server)?;
    assert!(lock.loss().is_none());
    until("a connection after the crash", async || match lock.assert_held().await {
        Ok(()) => Ok(Some(())),
        Err(error) if error.is_retryable() => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await?;
    assert!(lock.release().await?);
    session.stop().await?;
    Ok(())
}

/// A waiter has lost its place and its connection, and leaves
/// nothing in the server. It asks again with the same request id.
#[tokio::test]
async fn a_waiter_asks_again_after_a_crash() -> anyhow::Result<()> {
    let mut server = server(Profile::Debug)?;
    let url = manager(&server);
    let (holder, waiter) = (Sql::connect(&url).await?, Sql::connect(&url).await?);
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let service = waiter.register("waiter", LEASE).await?;
    let wait = format!(
        "SELECT volguard.acquire({service}, 'volume', 'v0', wait => '30 s', request_id => '{}')",
        Uuid::new_v4()
    );
    let waiting = {
        let wait = wait.clone();
        tokio::spawn(async move { waiter.number(&wait).await })
    };
    let asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query ~ 'acquire'";
    let superuser = Sql::connect(&server.url()).await?;
    until("a waiter", async || Ok(superuser.holds(asleep).await?.then_some(()))).await?;
    power_failure(&mut server)?;
    assert!(waiting.await?.is_err(), "its connection is gone");

    let sql = Sql::connect(&url).await?;
    assert!(sql.release(token).await?);
    let won = tokio::time::timeout(LONG, sql.number(&wait)).await??;
    growing(&[token], &[won.context("free")?])?;
    Ok(())
}

/// With `synchronous_commit = off` a crash may undo a commit, but never a token that a client has seen.
async fn relaxed_commits(server: &mut PrivateServer) -> anyhow::Result<()> {
    let url = manager(server);
    let sql = Sql::connect(&url).await?;
    let service = sql.register("a", LEASE).await?;
    sql.run("SET synchronous_commit = off").await?;
    // The counter is logged 32 numbers at a time; this is enough to see the loss of one of these records.
    let before = take(&sql, service, "before", 100).await?;
    power_failure(server)?;
    let sql = Sql::connect(&url).await?;
    growing(&before, &take(&sql, service, "after", 1).await?)?;
    all_held(&sql, &before).await
}

#[tokio::test]
async fn a_token_is_durable_before_it_is_handed_out() -> anyhow::Result<()> {
    relaxed_commits(&mut server(Profile::Debug)?).await
}

/// Which of the two depends on the end of a page of the log, up to which the log is written.
#[tokio::test]
async fn without_the_flush_a_token_is_handed_out_twice_or_its_lock_forgotten() -> anyhow::Result<()> {
    let mut server = server(Profile::Sabotage)?;
    server.psql("ALTER DATABASE volguard SET volguard.sabotage = 'Durable'")?;
    // The WAL writer still comes every ten seconds. It may come right before the crash, but not three times.
    let mut result = relaxed_commits(&mut server).await;
    for _ in 0..2 {
        if result.is_ok() {
            result = relaxed_commits(&mut server).await;
        }
    }
    let violation = Violation::expected_in(result);
    let undone = matches!(violation, Violation::TokenWentBack { .. } | Violation::Forgotten(_));
    assert!(undone, "{violation}");
    Ok(())
}
