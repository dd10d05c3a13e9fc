//! The background worker: dead services are cleaned up without any client, whatever happens to the
//! worker or its database. Each test has its own server, which loads the library when it starts.

mod endings;
mod forged;
mod presence;

use std::fs;
use std::time::Duration;

use anyhow::Context;
use volguard::StatementMode;
use volguard_tests::scenario::{Observer, Sql, Violation, Worker, WorkerOptions, furnish, until, url};
use volguard_tests::{PrivateServer, PrivateServerBuilder};

/// Long enough that no session is lost before its time, on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// How long the lease of a killed service goes on.
const SOON: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);
/// In addition to lease and interval: the start of the process that cleans, on a busy machine.
const SLACK: Duration = Duration::from_secs(30);

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

/// Resolves when this many more cleaning processes than now have ended, in any way.
async fn ticks(server: &PrivateServer, count: usize) -> anyhow::Result<()> {
    // The server logs the start of the next process, which comes after the end of the last.
    let started = "starting background worker process \"volguard cleanup worker\"";
    let goal = logged(server, started)? + count + 1;
    until("ticks of the worker", async || Ok((logged(server, started)? >= goal).then_some(()))).await
}

/// Volumes of the role `manager`, which record the role that changes them; `extending` ones become `error`.
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

/// A service with work on a volume, whose lease is over.
async fn crashed(server: &PrivateServer, sql: &Sql, volume: &str) -> anyhow::Result<i64> {
    let service = sql.register(volume, LONG).await?;
    sql.run(&format!(
        "INSERT INTO app.volumes (id, status) VALUES ('{volume}', 'extending');
         SELECT volguard.acquire({service}, 'volume', '{volume}', status => 'extending');
         SELECT volguard.acquire({service}, 'pool', '{volume}')"
    ))
    .await?;
    end_lease(server, service).await?;
    Ok(service)
}

async fn end_lease(server: &PrivateServer, service: i64) -> anyhow::Result<()> {
    let observer = Observer::of(&server.url()).await?;
    observer.end_lease(service).await
}

async fn until_cleaned(server: &PrivateServer, service: i64) -> anyhow::Result<()> {
    let superuser = Sql::connect(&server.url()).await?;
    let clean = format!(
        "SELECT fenced_at IS NOT NULL AND held_locks = 0 FROM volguard.service_status WHERE service_id = {service}"
    );
    until("the cleaning of a dead service", async || Ok(superuser.holds(&clean).await?.then_some(()))).await
}

async fn is_untouched(server: &PrivateServer, service: i64) -> anyhow::Result<bool> {
    let superuser = Sql::connect(&server.url()).await?;
    let down =
        format!("SELECT state = 'down' AND held_locks = 2 FROM volguard.service_status WHERE service_id = {service}");
    Ok(superuser.holds(&down).await?)
}

/// Its locks are free and its work is repaired, as the role of the rule, within lease and interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_is_cleaned_up_without_any_client() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    sql.run("INSERT INTO app.volumes (id, status) VALUES ('v0', 'extending')").await?;
    let options = WorkerOptions {
        url: url("manager", server.port(), "volguard"),
        mode: StatementMode::Prepared,
        host: "killed",
        lease: LONG,
        janitor: None,
    };
    let mut worker = Worker::start(super::LOCK_WORKER.as_ref(), &options).await?;
    worker.ask("acquire 0 v0 extending").await?;
    let dead = worker.service_id();
    let observer = Observer::of(&server.url()).await?;
    worker.kill(&observer).await?;
    observer.end_lease_in(dead, SOON).await?;
    until_cleaned(&server, dead).await?;

    let late = format!(
        "SELECT floor(extract(epoch FROM fenced_at - (heartbeat_at + lease)) * 1000)::bigint
         FROM volguard.service_status WHERE service_id = {dead}"
    );
    let late = sql.number(&late).await?.context("it is fenced")?;
    let late = u64::try_from(late).map_err(|_| Violation::Early(format!("{} ms before the lease ended", -late)))?;
    let (what, took, limit) = ("the worker", Duration::from_millis(late), INTERVAL + SLACK);
    if took > limit {
        return Err(Violation::Late { what, took, limit }.into());
    }
    let volume = "SELECT concat_ws(' ', status, changed_by, size) FROM app.volumes";
    assert_eq!(sql.text(volume).await?.as_deref(), Some("error manager 2"), "repaired once, by the rule's role");
    Ok(())
}

/// The value of the setting in the database counts, and a new value counts from the next tick on.
#[tokio::test]
async fn nothing_is_cleaned_up_without_auto_cleanup() -> anyhow::Result<()> {
    let server = server()?;
    let sql = volumes(&server).await?;
    server.psql("ALTER DATABASE volguard SET volguard.auto_cleanup = off")?;
    ticks(&server, 1).await?;
    let dead = crashed(&server, &sql, "v0").await?;
    ticks(&server, 3).await?;
    assert!(is_untouched(&server, dead).await?);
    server.psql("ALTER DATABASE volguard RESET volguard.auto_cleanup")?;
    until_cleaned(&server, dead).await
}

/// A changed configuration takes effect at once, even for a worker that sleeps for an hour.
#[tokio::test]
async fn a_reload_changes_interval_and_database() -> anyhow::Result<()> {
    let server =
        with_worker().setting("volguard.cleanup_interval", "1h").setting("volguard.database", "postgres").start()?;
    furnish(&server)?;
    let sql = volumes(&server).await?;
    let dead = crashed(&server, &sql, "v0").await?;
    server.psql("ALTER SYSTEM SET volguard.database = 'volguard'")?;
    server.psql("ALTER SYSTEM SET volguard.cleanup_interval = '100ms'")?;
    assert!(is_untouched(&server, dead).await?);
    server.psql("SELECT pg_reload_conf()")?;
    until_cleaned(&server, dead).await
}
