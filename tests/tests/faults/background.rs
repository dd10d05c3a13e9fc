//! The background worker: dead services are cleaned up without any client, whatever happens to the worker or its database.
//! Each test has a server of its own, which loads the library when it starts.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use volguard::StatementMode;
use volguard_tests::scenario::{Sql, Violation, Worker, WorkerOptions, furnish, until, url};
use volguard_tests::{PrivateServer, PrivateServerBuilder};

const LEASE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);
/// Beyond lease and interval: starting the process that cleans, on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(3);

/// With a worker, and with the start of each of its processes in the log.
fn with_worker() -> PrivateServerBuilder {
    PrivateServer::builder()
        .durable(false)
        .setting("shared_preload_libraries", "volguard")
        .setting("volguard.database", "volguard")
        .setting("volguard.cleanup_interval", &format!("{INTERVAL:?}"))
        .setting("log_min_messages", "debug1")
}

fn server() -> anyhow::Result<PrivateServer> {
    let server = with_worker().start()?;
    furnish(&server)?;
    Ok(server)
}

fn logged(server: &PrivateServer, text: &str) -> anyhow::Result<usize> {
    Ok(fs::read_to_string(server.log())?.matches(text).count())
}

/// Resolves when this many more cleanings than now have come to their end, however they ended.
async fn ticks(server: &PrivateServer, count: usize) -> anyhow::Result<()> {
    // The server writes it when the next process is started, which is after the end of the last.
    let started = "starting background worker process \"volguard cleanup worker\"";
    let goal = logged(server, started)? + count + 1;
    until("ticks of the worker", async || {
        Ok((logged(server, started)? >= goal).then_some(()))
    })
    .await
}

/// Volumes as the role `manager` has them, which write down who changes them; `extending` ones become `error`.
async fn volumes(server: &PrivateServer) -> anyhow::Result<Sql> {
    let sql = Sql::connect(&url("manager", server.port(), "volguard")).await?;
    sql.run(
        r#"ALTER TABLE app.volumes ADD COLUMN changed_by text;
           CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN NEW.changed_by := current_user; NEW.size := OLD.size + 1; RETURN NEW; END $$;
           CREATE TRIGGER note BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.note();
           SELECT volguard.track_resource('volume', 'app.volumes');
           SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}');"#,
    )
    .await?;
    Ok(sql)
}

/// A service that has worked on a volume, and is never heard of again.
async fn crashed(sql: &Sql, volume: &str) -> anyhow::Result<i64> {
    let service = sql.register(volume, LEASE).await?;
    sql.run(&format!(
        "INSERT INTO app.volumes (id, status) VALUES ('{volume}', 'extending');
         SELECT volguard.acquire({service}, 'volume', '{volume}', status => 'extending');
         SELECT volguard.acquire({service}, 'pool', '{volume}')"
    ))
    .await?;
    Ok(service)
}

async fn until_cleaned(server: &PrivateServer, service: i64) -> anyhow::Result<()> {
    let superuser = Sql::connect(&server.url()).await?;
    let clean = format!(
        "SELECT fenced_at IS NOT NULL AND held_locks = 0 FROM volguard.service_status WHERE service_id = {service}"
    );
    until("the cleaning of a dead service", async || {
        Ok(superuser.holds(&clean).await?.then_some(()))
    })
    .await
}

async fn is_untouched(server: &PrivateServer, service: i64) -> anyhow::Result<bool> {
    let superuser = Sql::connect(&server.url()).await?;
    let down = format!(
        "SELECT state = 'down' AND held_locks = 2 FROM volguard.service_status WHERE service_id = {service}"
    );
    Ok(superuser.holds(&down).await?)
}

async fn until_down(server: &PrivateServer, service: i64) -> anyhow::Result<()> {
    until("the end of a lease", async || {
        Ok(is_untouched(server, service).await?.then_some(()))
    })
    .await
}

/// Its locks are free and its work is repaired, as the role of the rule, within lease and interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_is_cleaned_up_without_any_client() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    sql.run("INSERT INTO app.volumes (id, status) VALUES ('v0', 'extending')")
        .await?;
    let options = WorkerOptions {
        url: url("manager", server.port(), "volguard"),
        mode: StatementMode::Prepared,
        host: "killed",
        lease: LEASE,
        janitor: None,
    };
    let mut worker = Worker::start(super::LOCK_WORKER.as_ref(), &options).await?;
    worker.ask("acquire 0 v0 extending").await?;
    let dead = worker.service_id();
    worker.kill().await?;
    until_cleaned(&server, dead).await?;

    let late = format!(
        "SELECT floor(extract(epoch FROM fenced_at - (heartbeat_at + lease)) * 1000)::bigint
         FROM volguard.service_status WHERE service_id = {dead}"
    );
    let late = sql.number(&late).await?.context("it is fenced")?;
    let late = u64::try_from(late)
        .map_err(|_| Violation::Early(format!("{} ms before the lease ended", -late)))?;
    let (what, took, limit) = ("the worker", Duration::from_millis(late), INTERVAL + SLACK);
    if took > limit {
        return Err(Violation::Late { what, took, limit }.into());
    }
    let volume = "SELECT concat_ws(' ', status, changed_by, size) FROM app.volumes";
    assert_eq!(
        sql.text(volume).await?.as_deref(),
        Some("error manager 2"),
        "repaired once, by the rule's role"
    );
    Ok(())
}

/// The setting counts as the database has it, and a new one counts from the next tick on.
#[tokio::test]
async fn nothing_is_cleaned_up_without_auto_cleanup() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    server.psql("ALTER DATABASE volguard SET volguard.auto_cleanup = off")?;
    ticks(&server, 1).await?;
    let dead = crashed(&sql, "v0").await?;
    until_down(&server, dead).await?;
    ticks(&server, 3).await?;
    assert!(is_untouched(&server, dead).await?);
    server.psql("ALTER DATABASE volguard RESET volguard.auto_cleanup")?;
    until_cleaned(&server, dead).await
}

/// A changed configuration is heeded at once, even by a worker that rests for an hour.
#[tokio::test]
async fn a_reload_changes_interval_and_database() -> anyhow::Result<()> {
    let server = with_worker()
        .setting("volguard.cleanup_interval", "1h")
        .setting("volguard.database", "postgres")
        .start()?;
    furnish(&server)?;
    let sql = volumes(&server).await?;
    let dead = crashed(&sql, "v0").await?;
    until_down(&server, dead).await?;
    server.psql("ALTER SYSTEM SET volguard.database = 'volguard'")?;
    server.psql("ALTER SYSTEM SET volguard.cleanup_interval = '100ms'")?;
    assert!(is_untouched(&server, dead).await?);
    server.psql("SELECT pg_reload_conf()")?;
    until_cleaned(&server, dead).await
}

/// What is missing is told once, not at every tick, and as soon as it is there the worker goes on.
#[tokio::test]
async fn database_and_extension_may_come_and_go() -> anyhow::Result<()> {
    let server = with_worker()
        .setting("volguard.database", "later")
        .start()?;
    furnish(&server)?;
    let (missing, lacking, going_on) = (
        "volguard.database names \"later\", which does not exist",
        "database \"later\" lacks the extension volguard",
        "volguard: cleaning up again",
    );
    // Twice, with all that the worker knows of the first round.
    for round in 1..=2 {
        until("the word of a missing database", async || {
            Ok((logged(&server, missing)? == round).then_some(()))
        })
        .await?;
        server.psql("CREATE DATABASE later")?;
        ticks(&server, 3).await?;
        assert_eq!(logged(&server, lacking)?, 2 * round - 1);
        for cycle in 0..2 {
            server.psql_in("later", "CREATE EXTENSION volguard")?;
            let superuser = Sql::connect(&server.url_of("later")).await?;
            let dead = superuser.register("dead", LEASE).await?;
            let fenced = format!(
                "SELECT state = 'fenced' FROM volguard.service_status WHERE service_id = {dead}"
            );
            until("a cleaning", async || {
                Ok(superuser.holds(&fenced).await?.then_some(()))
            })
            .await?;
            assert_eq!(logged(&server, going_on)?, 2 * (round - 1) + cycle + 1);
            if cycle == 0 {
                server.psql_in("later", "DROP EXTENSION volguard")?;
                ticks(&server, 3).await?;
                assert_eq!(logged(&server, lacking)?, 2 * round);
            }
        }
        assert_eq!(logged(&server, missing)?, round);
        // The worker keeps no connection that would forbid it.
        until("the end of our own connections", async || {
            let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'later' AND backend_type = 'client backend'";
            Ok((server.psql(others)?.trim() == "0").then_some(()))
        })
        .await?;
        server.psql("DROP DATABASE later")?;
    }
    Ok(())
}

/// A tick that fails is told to the log, and the next one does the work.
#[tokio::test]
async fn an_error_ends_one_tick_and_no_more() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    let broken = "column s.postponed_until does not exist";
    server.psql("ALTER TABLE volguard.services RENAME COLUMN postponed_until TO renamed")?;
    let dead = crashed(&sql, "v0").await?;
    until_down(&server, dead).await?;
    until("two ticks that fail", async || {
        Ok((logged(&server, broken)? >= 2).then_some(()))
    })
    .await?;
    assert!(is_untouched(&server, dead).await?);
    server.psql("ALTER TABLE volguard.services RENAME COLUMN renamed TO postponed_until")?;
    until_cleaned(&server, dead).await
}

/// What can't be cleaned up keeps no other service waiting: a rule that fails, a row that somebody has locked, a gate that
/// somebody is in, a table of ours that refuses.
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
    let table_gone = sql.register("table gone", LEASE).await?;
    sql.run(&format!(
        "SELECT volguard.acquire({table_gone}, 'gone', 'g', status => 'extending'); DROP TABLE app.gone"
    ))
    .await?;
    let row_locked = crashed(&sql, "row locked").await?;
    let user = Sql::connect(&url("manager", server.port(), "volguard")).await?;
    user.run("BEGIN; SELECT FROM app.volumes WHERE id = 'row locked' FOR UPDATE")
        .await?;
    let gate_taken = crashed(&sql, "gate taken").await?;
    let token = format!(
        "SELECT token FROM volguard.lock_status WHERE service_id = {gate_taken} AND status IS NULL"
    );
    let token = sql.number(&token).await?.context("held")?;
    let writer = Sql::connect(&url("manager", server.port(), "volguard")).await?;
    writer
        .run(&format!("BEGIN; SELECT volguard.assert_held({token})"))
        .await?;
    let refused = crashed(&sql, "refused").await?;
    server.psql(&format!(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by a trigger'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON volguard.services FOR EACH ROW WHEN (OLD.service_id = {refused}) EXECUTE FUNCTION public.refuse()"
    ))?;
    let last = crashed(&sql, "last").await?;
    until_down(&server, last).await?;
    server.psql("ALTER DATABASE volguard RESET volguard.auto_cleanup")?;

    until_cleaned(&server, last).await?;
    for service in [row_locked, gate_taken, refused] {
        assert!(is_untouched(&server, service).await?);
    }
    let state = format!(
        "SELECT concat_ws(' ', state, held_locks) FROM volguard.service_status WHERE service_id = {table_gone}"
    );
    assert_eq!(sql.text(&state).await?.as_deref(), Some("fenced 1"));
    // It is put off, so that its failure isn't told at every tick.
    ticks(&server, 2).await?;
    let told = "the crash rule of gone in status extending failed on g";
    assert_eq!(logged(&server, told)?, 1);

    user.run("ROLLBACK").await?;
    writer.run("ROLLBACK").await?;
    server.psql("DROP TRIGGER refuse ON volguard.services")?;
    for service in [row_locked, gate_taken, refused] {
        until_cleaned(&server, service).await?;
    }
    Ok(())
}

/// Somebody who looks at the server sees who is at work; and whoever ends it only starts it again.
#[tokio::test]
async fn a_launcher_that_was_ended_is_started_again() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    let superuser = Sql::connect(&server.url()).await?;
    let launcher =
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'volguard cleanup launcher'
                    AND application_name = 'volguard cleanup launcher' AND datname IS NULL";
    let first = superuser.number(launcher).await?.context("it is there")?;
    superuser
        .run(&format!("SELECT pg_terminate_backend({first})"))
        .await?;
    until("another launcher", async || {
        let now = superuser.number(launcher).await?;
        Ok(now.filter(|pid| *pid != first).map(drop))
    })
    .await?;
    let dead = crashed(&sql, "v0").await?;
    until_cleaned(&server, dead).await
}

/// A server that stops waits neither for the rest of an interval nor for a cleaning under way, which it rolls back.
#[tokio::test]
async fn a_shutdown_waits_for_nothing() -> anyhow::Result<()> {
    let mut server = server()?;
    let sql = volumes(&server).await?;
    sql.run(
        "CREATE FUNCTION app.hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
         CREATE TRIGGER hang BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.hang()",
    )
    .await?;
    let dead = crashed(&sql, "v0").await?;
    let superuser = Sql::connect(&server.url()).await?;
    let hanging = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'volguard cleanup worker'
                   AND application_name = 'volguard cleanup worker' AND datname = 'volguard' AND wait_event = 'PgSleep'
                   AND state = 'active' AND query = 'volguard: cleaning up after dead services'";
    until("a cleaning that hangs", async || {
        Ok(superuser.holds(hanging).await?.then_some(()))
    })
    .await?;
    stops_soon(&mut server)?;
    server.restart()?;
    assert!(is_untouched(&server, dead).await?, "rolled back");
    // Once more, while it rests.
    server.psql("ALTER SYSTEM SET volguard.cleanup_interval = '1h'")?;
    server.psql("ALTER DATABASE volguard SET volguard.auto_cleanup = off")?;
    stops_soon(&mut server)?;
    server.restart()?;
    stops_soon(&mut server)
}

/// The hour of a hanging cleaning or of an interval is far beyond this, and so is the minute after which the stop gives up.
fn stops_soon(server: &mut PrivateServer) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(15);
    let begun = Instant::now();
    server.stop()?;
    let took = begun.elapsed();
    anyhow::ensure!(took < LIMIT, "the server took {took:?} to stop");
    Ok(())
}

/// Sessions see the settings before they have called anything, as the first call would show them; the prefix is reserved.
#[tokio::test]
async fn sessions_are_as_without_preload() -> anyhow::Result<()> {
    let server = server()?;
    let look = "SELECT string_agg(concat_ws('|', name, unit, category, context, vartype, min_val, max_val, boot_val), E'\\n' ORDER BY name)
                FROM pg_settings WHERE name LIKE 'volguard.%'";
    let preloaded = server.psql(look)?;
    let plain = PrivateServer::builder().durable(false).start()?;
    let loaded = plain.psql(&format!("LOAD '$libdir/volguard'; {look}"))?;
    assert_eq!(preloaded, loaded);
    assert!(preloaded.contains("volguard.cleanup_interval|ms|"));
    for session in [
        "SET volguard.auto_clean = off",
        "LOAD '$libdir/volguard'; SET volguard.nonsense = 1",
        "SET volguard.cleanup_interval = 1000",
    ] {
        assert!(server.psql(session).is_err(), "{session}");
    }
    server.psql(
        "SET volguard.auto_cleanup = off; LOAD '$libdir/volguard'; SELECT volguard.release(1)",
    )?;
    assert_eq!(logged(&server, "WARNING")?, 0);
    Ok(())
}
