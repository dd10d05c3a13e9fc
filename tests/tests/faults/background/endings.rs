//! Cleaning processes, and the worker itself, that end before their time.

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use volguard_tests::PrivateServer;
use volguard_tests::scenario::{Sql, until, url};

use super::{LONG, crashed, end_lease, is_untouched, logged, server, ticks, until_cleaned, volumes};

/// A tick that fails is logged, and the next one does the work.
#[tokio::test]
async fn an_error_ends_one_tick_and_no_more() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    let broken = "column c.disabled does not exist";
    server.psql("ALTER TABLE volguard.clusters RENAME COLUMN disabled TO renamed")?;
    let dead = crashed(&server, &sql, "v0").await?;
    until("two ticks that fail", async || Ok((logged(&server, broken)? >= 2).then_some(()))).await?;
    assert!(is_untouched(&server, dead).await?);
    server.psql("ALTER TABLE volguard.clusters RENAME COLUMN renamed TO disabled")?;
    until_cleaned(&server, dead).await
}

/// Failures that do not block the cleanup of other services: a rule that fails, a row
/// that another session has locked, a taken service lock, a table of ours that refuses.
#[tokio::test]
async fn what_fails_on_one_service_does_not_stop_the_others() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    server.psql("ALTER DATABASE volguard SET volguard.auto_cleanup = off")?;
    ticks(&server, 1).await?;
    sql.run(
        r#"CREATE TABLE app.gone (id text PRIMARY KEY, status text);
           SELECT volguard.track_resource('gone', 'app.gone');
           SELECT volguard.on_crash('gone', 'extending', '{"status": "error"}');"#,
    )
    .await?;
    let table_gone = sql.register("table gone", LONG).await?;
    sql.run(&format!("SELECT volguard.acquire({table_gone}, 'gone', 'g', status => 'extending'); DROP TABLE app.gone"))
        .await?;
    end_lease(&server, table_gone).await?;
    let row_locked = crashed(&server, &sql, "row locked").await?;
    let user = Sql::connect(&url("manager", server.port(), "volguard")).await?;
    user.run("BEGIN; SELECT FROM app.volumes WHERE id = 'row locked' FOR UPDATE").await?;
    let service_lock_taken = crashed(&server, &sql, "service lock taken").await?;
    let token =
        format!("SELECT token FROM volguard.lock_status WHERE service_id = {service_lock_taken} AND status IS NULL");
    let token = sql.number(&token).await?.context("held")?;
    let writer = Sql::connect(&url("manager", server.port(), "volguard")).await?;
    writer.run(&format!("BEGIN; SELECT volguard.assert_held({token})")).await?;
    let refused = crashed(&server, &sql, "refused").await?;
    server.psql(&format!(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by a trigger'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON volguard.services FOR EACH ROW WHEN (OLD.service_id = {refused}) EXECUTE FUNCTION public.refuse()"
    ))?;
    let last = crashed(&server, &sql, "last").await?;
    server.psql("ALTER DATABASE volguard RESET volguard.auto_cleanup")?;

    until_cleaned(&server, last).await?;
    for service in [service_lock_taken, refused] {
        assert!(is_untouched(&server, service).await?);
    }
    // The plain lock is free, and the work waits for the row.
    let state = format!(
        "SELECT concat_ws(' ', state, held_locks) FROM volguard.service_status WHERE service_id = {row_locked}"
    );
    assert_eq!(sql.text(&state).await?.as_deref(), Some("fenced 1"));
    let state = format!(
        "SELECT concat_ws(' ', state, held_locks) FROM volguard.service_status WHERE service_id = {table_gone}"
    );
    assert_eq!(sql.text(&state).await?.as_deref(), Some("fenced 1"));
    // It is postponed, so that its failure isn't logged at every tick.
    ticks(&server, 2).await?;
    let told = "the table of resource type gone does not exist any more";
    assert_eq!(logged(&server, told)?, 1);

    user.run("ROLLBACK").await?;
    writer.run("ROLLBACK").await?;
    server.psql("DROP TRIGGER refuse ON volguard.services")?;
    server
        .psql_in("volguard", "UPDATE volguard.workers SET retry_at = now() WHERE awaiting_reason ~ 'locked the row'")?;
    for service in [row_locked, service_lock_taken, refused] {
        until_cleaned(&server, service).await?;
    }
    Ok(())
}

/// The server's activity view shows the worker processes; ending one only starts it again.
#[tokio::test]
async fn a_launcher_that_was_ended_is_started_again() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    let superuser = Sql::connect(&server.url()).await?;
    let launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'volguard cleanup launcher'
                    AND application_name = 'volguard cleanup launcher' AND datname IS NULL";
    let first = until("the launcher", async || Ok(superuser.number(launcher).await?)).await?;
    superuser.run(&format!("SELECT pg_terminate_backend({first})")).await?;
    until("another launcher", async || {
        let now = superuser.number(launcher).await?;
        Ok(now.filter(|pid| *pid != first).map(drop))
    })
    .await?;
    let dead = crashed(&server, &sql, "v0").await?;
    until_cleaned(&server, dead).await
}

/// A shutdown waits neither for the rest of an interval nor for a running cleaning, which it rolls back.
#[tokio::test]
async fn a_shutdown_waits_for_nothing() -> anyhow::Result<()> {
    let mut server = server()?;
    let sql = volumes(&server).await?;
    sql.run(
        "CREATE FUNCTION app.hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
         CREATE TRIGGER hang BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.hang()",
    )
    .await?;
    server.psql("ALTER DATABASE volguard SET volguard.rule_timeout = '2h'")?;
    let dead = crashed(&server, &sql, "v0").await?;
    let superuser = Sql::connect(&server.url()).await?;
    let hanging = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'volguard repair worker'
                   AND application_name = 'volguard repair worker' AND datname = 'volguard' AND wait_event = 'PgSleep'
                   AND state = 'active' AND query = 'volguard: repairing work by crash rules'";
    until("a cleaning that hangs", async || Ok(superuser.holds(hanging).await?.then_some(()))).await?;
    stops_soon(&mut server)?;
    server.restart()?;
    let superuser = Sql::connect(&server.url()).await?;
    let left = format!("SELECT status FROM volguard.lock_status WHERE service_id = {dead}");
    assert_eq!(superuser.text(&left).await?.as_deref(), Some("extending"), "rolled back");
    // Once more, while it sleeps.
    server.psql("ALTER SYSTEM SET volguard.cleanup_interval = '1h'")?;
    server.psql("ALTER DATABASE volguard SET volguard.auto_cleanup = off")?;
    stops_soon(&mut server)?;
    server.restart()?;
    stops_soon(&mut server)
}

/// A hanging cleaning or an interval takes an hour, far beyond this, and the shutdown gives up after a minute.
fn stops_soon(server: &mut PrivateServer) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(45);
    let begun = Instant::now();
    server.stop()?;
    let took = begun.elapsed();
    anyhow::ensure!(took < LIMIT, "the server took {took:?} to stop");
    Ok(())
}
