//! The library's file is replaced while sessions and processes have the old one mapped. The other build is the
//! sabotaged one, which has the same version and lays out its shared memory in another way.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Observer, Sql, furnish, until, url};
use volguard_tests::{PrivateServer, PrivateServerBuilder, Profile};

use crate::shelf::replace_library;

const LEASE: Duration = Duration::from_secs(300);
/// What the process for repairs logs.
const OTHER_LIBRARY: &str = "a session that still has another library of volguard asks for a repair";

fn server(builder: PrivateServerBuilder) -> anyhow::Result<PrivateServer> {
    let server = builder.durable(false).start()?;
    furnish(&server)?;
    Ok(server)
}

async fn connect(server: &PrivateServer) -> anyhow::Result<Sql> {
    Ok(Sql::connect(&url("manager", server.port(), "volguard")).await?)
}

/// A service that has died over work on a volume, which a rule repairs.
async fn crashed(server: &PrivateServer, sql: &Sql) -> anyhow::Result<i64> {
    sql.run(
        r#"INSERT INTO app.volumes (id, status) VALUES ('v1', 'extending');
           SELECT volguard.track_resource('volume', 'app.volumes');
           SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}')"#,
    )
    .await?;
    let dead = sql.register("dead", LEASE).await?;
    sql.run(&format!("SELECT volguard.acquire({dead}, 'volume', 'v1', status => 'extending')")).await?;
    Observer::of(&server.url()).await?.end_lease(dead).await?;
    Ok(dead)
}

async fn is_repaired(sql: &Sql) -> anyhow::Result<bool> {
    Ok(sql.holds("SELECT status = 'error' FROM app.volumes WHERE id = 'v1'").await?)
}

/// No process of the server has crashed: the server would have begun again.
async fn is_unharmed(server: &PrivateServer, started: &str) -> anyhow::Result<()> {
    assert_eq!(start_of(server).await?, started);
    let log = fs::read_to_string(server.log())?;
    assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "{log}");
    Ok(())
}

/// When the server has begun, or begun again after a crash of any of its processes.
async fn start_of(server: &PrivateServer) -> anyhow::Result<String> {
    let superuser = Sql::connect(&server.url()).await?;
    let start = "SELECT backend_start::text FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
    superuser.text(start).await?.context("the server's processes")
}

/// A session goes on with the library that it has. Only repairs, for which the server starts a process that has the new
/// one, are left to sessions that connect from now on.
#[tokio::test]
async fn sessions_go_on_with_the_library_that_they_have() -> anyhow::Result<()> {
    let server = server(PrivateServer::builder())?;
    let started = start_of(&server).await?;
    let session = connect(&server).await?;
    let dead = crashed(&server, &session).await?;
    let service = session.register("node-1", LEASE).await?;
    replace_library(&server, Profile::Sabotage)?;

    let token = session.acquire(service, "v2", Duration::ZERO).await?.context("the lock is free")?;
    assert!(session.release(token).await?);
    // The first call fences; those that follow ask for the repair.
    until("the reason in the log", async || {
        session.run(&format!("SELECT volguard.cleanup(service_id => {dead})")).await?;
        Ok(fs::read_to_string(server.log())?.contains(OTHER_LIBRARY).then_some(()))
    })
    .await?;
    assert!(!is_repaired(&session).await?, "by a process with another library");
    let waits = format!("SELECT count(*) = 1 FROM volguard.lock_status WHERE service_id = {dead}");
    assert!(session.holds(&waits).await?, "the work waits");

    let new = connect(&server).await?;
    until("the repair by a new session", async || {
        new.run(&format!("SELECT volguard.cleanup(service_id => {dead})")).await?;
        Ok(is_repaired(&new).await?.then_some(()))
    })
    .await?;
    is_unharmed(&server, &started).await
}

/// A server that preloads the library has it in all its processes until it starts again: nothing is mixed.
#[tokio::test]
async fn a_server_that_preloads_the_library_goes_on_with_it_until_it_restarts() -> anyhow::Result<()> {
    let builder = PrivateServer::builder()
        .setting("shared_preload_libraries", "volguard")
        .setting("volguard.database", "volguard")
        .setting("volguard.cleanup_interval", "200ms");
    let mut server = server(builder)?;
    let started = start_of(&server).await?;
    let session = connect(&server).await?;
    replace_library(&server, Profile::Sabotage)?;
    crashed(&server, &session).await?;
    until("a cleanup of the background worker", async || Ok(is_repaired(&session).await?.then_some(()))).await?;
    is_unharmed(&server, &started).await?;
    assert!(!has_new_library(&server).await?);

    server.stop()?;
    server.restart()?;
    assert!(has_new_library(&server).await?);
    let session = connect(&server).await?;
    session.run("UPDATE app.volumes SET status = 'extending'").await?;
    let again = session.register("again", LEASE).await?;
    session.run(&format!("SELECT volguard.acquire({again}, 'volume', 'v1', status => 'extending')")).await?;
    Observer::of(&server.url()).await?.end_lease(again).await?;
    until("a cleanup of the new background worker", async || Ok(is_repaired(&session).await?.then_some(()))).await
}

/// Only the other build has this setting.
async fn has_new_library(server: &PrivateServer) -> anyhow::Result<bool> {
    let superuser = Sql::connect(&server.url()).await?;
    superuser.run("SELECT volguard.release_all('{}')").await?;
    Ok(superuser.holds("SELECT count(*) = 1 FROM pg_settings WHERE name = 'volguard.sabotage'").await?)
}
