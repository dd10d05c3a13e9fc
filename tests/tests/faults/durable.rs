//! What a verb wrote is on disk when it is answered, whatever `synchronous_commit` says.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, ensure};
use volguard_tests::scenario::{Sql, Violation, until};
use volguard_tests::{PrivateServer, Profile};

use crate::server::{manager, server};

/// The latest token, and the service, of a host.
const TOKEN: &str = "(SELECT max(token) FROM volguard.lock_status WHERE host = 'a')";
const SERVICE: &str = "(SELECT max(service_id) FROM volguard.service_status WHERE host = 'a')";

/// Each verb that writes, in an order in which each finds something to write. `{t}` is a token and `{s}` the service of
/// host `a`, `{d}` that of a host that dies.
const WRITES: &[(&str, &str)] = &[
    ("register_service", "SELECT volguard.register_service('a', 'test', lease => '1 h')"),
    ("update_service", "SELECT volguard.update_service({s}, '{}', true, 'test')"),
    ("update_service", "SELECT volguard.update_service({s}, disabled => false)"),
    ("acquire", "SELECT volguard.acquire({s}, 'plain', '1')"),
    ("set_status", "SELECT volguard.set_status({t}, 'busy')"),
    ("set_status", "SELECT volguard.set_status({t}, 'busier', expected => 'busy')"),
    ("assert_held", "SELECT volguard.assert_held({t})"),
    ("release", "SELECT volguard.release({t})"),
    ("acquire_all", r#"SELECT * FROM volguard.acquire_all({s}, '[{"resource_type": "plain", "resource_id": "2"}]')"#),
    ("release_all", "SELECT volguard.release_all(ARRAY[{t}])"),
    ("track_resource", "SELECT volguard.track_resource('volume', 'app.volumes', 'id', 'status')"),
    ("on_crash", r#"SELECT volguard.on_crash('volume', 'detaching', '{"status": "error"}')"#),
    ("conditional_update", r#"SELECT volguard.conditional_update('app.volumes', '{"id": "v0"}', '{"size": 7}')"#),
    ("start_work", r#"SELECT volguard.start_work({s}, 'volume', 'v0', '{"status": "detaching"}')"#),
    ("finish_work", r#"SELECT volguard.finish_work({t}, '{"status": "available"}')"#),
    (
        "submit_work",
        r#"SELECT volguard.submit_work('default', 'volume', 'v0', '{"status": "queued"}', request_id => md5('w')::uuid)"#,
    ),
    ("next_work", "SELECT * FROM volguard.next_work({s})"),
    ("pass_work", "SELECT volguard.pass_work({t}, 'again')"),
    ("next_work", "SELECT * FROM volguard.next_work({s}, operations => '{again}')"),
    ("release", "SELECT volguard.release({t})"),
    (
        "cancel_work",
        r#"SELECT volguard.cancel_work((SELECT max(work_id) FROM volguard.lock_status), '{"status": "available"}')"#,
    ),
    ("track_resource", "SELECT volguard.track_resource('ledger', 'app.ledger', 'key', 'owner')"),
    ("untrack_resource", "SELECT volguard.untrack_resource('ledger')"),
    ("set_cluster_disabled", "SELECT volguard.set_cluster_disabled('default', true, 'test')"),
    ("set_cluster_disabled", "SELECT volguard.set_cluster_disabled('default', false)"),
    ("set_cluster_owner", "SELECT volguard.set_cluster_owner('named', 'manager')"),
    ("grant_submit", "SELECT volguard.grant_submit('named', 'manager')"),
    ("revoke_submit", "SELECT volguard.revoke_submit('named', 'manager')"),
    ("remove_cluster", "SELECT volguard.remove_cluster('named')"),
    ("register_service", "SELECT volguard.register_service('dead', 'test', lease => '1 h')"),
    ("fence_service", "SELECT volguard.fence_service({d}, 'test')"),
    ("acquire", "SELECT volguard.acquire({s}, 'plain', '3')"),
    ("force_release", "SELECT volguard.force_release({t}, 'test')"),
    ("acquire", "SELECT volguard.acquire({s}, 'plain', '4')"),
    ("reset_resource", "SELECT volguard.reset_resource('plain', '4')"),
    ("acquire", "SELECT volguard.acquire({s}, 'plain', '5')"),
    ("reconcile", "SELECT volguard.reconcile({s}, '{}')"),
    ("acquire", "SELECT volguard.acquire({s}, 'plain', '6', request_id => md5('6')::uuid)"),
    ("release_requests", "SELECT volguard.release_requests({s}, ARRAY[md5('6')::uuid])"),
    ("register_service", "SELECT volguard.register_service('dead', 'test', lease => '1 h')"),
    ("acquire", "SELECT volguard.acquire({d}, 'plain', '7', status => 'busy')"),
    ("deregister_service", "SELECT volguard.deregister_service({d})"),
    ("claim_cleanup", "SELECT * FROM volguard.claim_cleanup({s})"),
    ("abandon_cleanup", "SELECT volguard.abandon_cleanup({t})"),
    ("claim_cleanup", "SELECT * FROM volguard.claim_cleanup({s})"),
    ("finish_cleanup", "SELECT volguard.finish_cleanup({t})"),
    ("register_service", "SELECT volguard.register_service('dead', 'test', lease => '100 ms')"),
    ("cleanup", "SELECT pg_sleep(0.2); SELECT * FROM volguard.cleanup()"),
    ("register_service", "SELECT volguard.register_service('dead', 'test', lease => '100 ms')"),
    ("auto_cleanup", "SELECT pg_sleep(0.2); SELECT * FROM volguard.auto_cleanup()"),
];

/// Write nothing, or nothing that has to last; the grants, which are Postgres' own; a procedure that calls `cleanup`;
/// what a process writes and commits.
const OTHERS: [&str; 11] = [
    "heartbeat",
    "any_of",
    "none_of",
    "grant_usage",
    "grant_operator",
    "grant_monitoring",
    "run_cleanup",
    "repair",
    "waiting",
    "wait_queue",
    "why",
];

/// The server's WAL writer, stopped while this lives.
struct Stopped(String);

impl Stopped {
    async fn wal_writer(superuser: &Sql) -> anyhow::Result<Stopped> {
        let pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
        let pid = until("a WAL writer", async || Ok(superuser.text(pid).await?)).await?;
        ensure!(Command::new("kill").args(["-STOP", &pid]).status()?.success());
        Ok(Stopped(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-CONT", &self.0]).status();
    }
}

/// After each verb's commit the log is on disk beyond the place where the commit began.
async fn commits_are_on_disk(server: &PrivateServer) -> anyhow::Result<()> {
    let superuser = Sql::connect(&server.url()).await?;
    superuser.run("INSERT INTO app.volumes VALUES ('v0', 'available')").await?;
    let sql = Sql::connect(&manager(server)).await?;
    sql.run("SET synchronous_commit = off").await?;
    let _stopped = Stopped::wal_writer(&superuser).await?;
    let dead = SERVICE.replace("'a'", "'dead'");
    for (verb, statement) in WRITES {
        let statement = statement.replace("{t}", TOKEN).replace("{s}", SERVICE).replace("{d}", &dead);
        sql.run(&format!("BEGIN; {statement}")).await.with_context(|| statement.clone())?;
        let wrote = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL";
        ensure!(sql.holds(wrote).await?, "{verb} has written nothing");
        let end = sql.text("SELECT pg_current_wal_insert_lsn()").await?.context("an end of the log")?;
        sql.run("COMMIT").await?;
        let on_disk = format!("SELECT pg_current_wal_flush_lsn() > '{end}'");
        if !superuser.holds(&on_disk).await? {
            return Err(Violation::Forgotten(format!("{verb} is answered, and not on disk")).into());
        }
        ensure!(sql.text("SHOW synchronous_commit").await?.as_deref() == Some("off"), "{verb} left a setting");
    }
    Ok(())
}

#[tokio::test]
async fn every_verb_is_on_disk_when_it_is_answered() -> anyhow::Result<()> {
    commits_are_on_disk(&server(Profile::Debug)?).await
}

#[tokio::test]
async fn without_the_wait_it_is_not() -> anyhow::Result<()> {
    let server = server(Profile::Sabotage)?;
    server.psql("ALTER DATABASE volguard SET volguard.sabotage = 'Durable'")?;
    let violation = Violation::expected_in(commits_are_on_disk(&server).await);
    assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
    Ok(())
}

/// A new verb can't be left out.
#[tokio::test]
async fn every_function_is_asked() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    let superuser = Sql::connect(&server.url()).await?;
    let functions = "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace";
    let functions: BTreeSet<String> = superuser.rows(functions).await?.into_iter().flatten().flatten().collect();
    let asked: BTreeSet<String> = WRITES.iter().map(|(verb, _)| *verb).chain(OTHERS).map(str::to_owned).collect();
    assert_eq!(asked, functions);
    Ok(())
}
