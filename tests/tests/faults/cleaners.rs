//! Cleanups of the rows of many services: several at once, and one that is interrupted in the middle.
//!
//! The rule counts, and keeps the status: a second run on a resource would be seen.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use volguard_tests::scenario::{Route, Site, Sql, Violation, until};
use volguard_tests::{PrivateServer, Profile};

use crate::server;

const SERVICES: i64 = 20;
const CLEANERS: usize = 8;

/// The filters of the cleaners: together they cover everything; no two are the same.
const FILTERS: [&str; CLEANERS] = [
    "",
    "cluster => 'default'",
    "binary_name => 'test'",
    "resource_type => 'volume'",
    "until => now() + interval '1 hour'",
    "disabled => false",
    "cluster => 'default', host => 'node-7'",
    "cluster => 'default', resource_type => 'volume', disabled => false",
];

/// Makes services die with this many rows: half of them plain locks, half work on volumes that a rule repairs.
async fn crashed(manager: &Sql, superuser: &Sql, rows: i64) -> anyhow::Result<()> {
    manager.run("SELECT volguard.track_resource('volume', 'app.volumes')").await?;
    manager
        .run(r#"SELECT volguard.on_crash('volume', 'creating', '{"size": {"add": [{"column": "size"}, 1]}}')"#)
        .await?;
    for number in 0..SERVICES {
        let host = format!("node-{number}");
        manager.register(&host, Duration::from_secs(60)).await?;
    }
    superuser
        .run(&format!(
            "INSERT INTO app.volumes (id, status) SELECT 'v' || n, 'creating' FROM generate_series(1, {rows}, 2) AS n;
             INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, status, acquired_at, updated_at)
             SELECT 'default', 'volume', 'v' || n, '', nextval('volguard.clock'), ids[1 + n % {SERVICES}],
                    CASE n % 2 WHEN 1 THEN 'creating' END, now(), now()
             FROM generate_series(1, {rows}) AS n, (SELECT array_agg(service_id) AS ids FROM volguard.services) AS s;
             UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour'"
        ))
        .await?;
    Ok(())
}

/// Every resource was repaired once, and nothing is left.
async fn cleaned_once(superuser: &Sql, rows: i64) -> anyhow::Result<()> {
    let wrong = "SELECT string_agg(format('%s was repaired %s times', id, size - 1), ', ') FROM (SELECT * FROM app.volumes WHERE size <> 2 LIMIT 3) AS wrong";
    if let Some(wrong) = superuser.text(wrong).await? {
        return Err(Violation::NotOnce(wrong).into());
    }
    let volumes = superuser.number("SELECT count(*) FROM app.volumes").await?;
    assert_eq!(volumes, Some(rows / 2));
    let left = superuser.number("SELECT count(*) FROM volguard.workers").await?;
    match left {
        Some(0) => Ok(()),
        left => Err(Violation::LeftBehind(format!("{left:?} rows of dead services")).into()),
    }
}

/// The result of a cleaner: locks released, resources cleaned, and those stale.
type Report = [i64; 3];

/// Calls until no other one would do more at once.
async fn cleanup(sql: Sql, filter: &str) -> anyhow::Result<Report> {
    let sums = "coalesce(sum(locks_released), 0), coalesce(sum(resources_cleaned), 0), coalesce(sum(resources_stale), 0), coalesce(bool_or(state = 'more'), false)";
    let mut report = [0; 3];
    loop {
        let rows = sql.rows(&format!("SELECT {sums} FROM volguard.cleanup({filter})")).await?;
        let row = rows.first().context("sums")?;
        for (at, sum) in report.iter_mut().enumerate() {
            *sum += row[at].as_deref().context("a sum")?.parse::<i64>()?;
        }
        if row[3].as_deref() != Some("t") {
            return Ok(report);
        }
    }
}

/// The obvious way: read the rows, repair them, delete them.
async fn naive_cleanup(sql: Sql, all_have_read: Arc<Barrier>) -> anyhow::Result<()> {
    let read = "CREATE TEMPORARY TABLE seen AS SELECT token, resource_id, status FROM volguard.workers";
    sql.run(read).await?;
    all_have_read.wait().await;
    sql.run(
        "BEGIN;
         UPDATE app.volumes SET size = size + 1 FROM seen WHERE id = resource_id AND volumes.status = seen.status;
         DELETE FROM volguard.workers USING seen WHERE workers.token = seen.token;
         COMMIT",
    )
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_cleaners_repair_each_resource_once() -> anyhow::Result<()> {
    const ROWS: i64 = 100_000;
    for route in [Route::Direct, Route::Pooled] {
        let site = Site::new(route)?;
        let superuser = superuser(&site).await?;
        crashed(&site.sql().await?, &superuser, ROWS).await?;
        let start = Arc::new(Barrier::new(CLEANERS));
        let mut cleaners = JoinSet::new();
        for filter in FILTERS {
            let (sql, start) = (site.sql().await?, Arc::clone(&start));
            cleaners.spawn(async move {
                start.wait().await;
                cleanup(sql, filter).await
            });
        }
        let mut reports = Vec::new();
        while let Some(report) = cleaners.join_next().await {
            reports.push(report??);
        }
        // None waits for another one: what was another's in all its rounds, and was rolled back there, is left.
        reports.push(cleanup(site.sql().await?, "").await?);
        let mut sums = [0; 3];
        for report in reports {
            for (sum, number) in sums.iter_mut().zip(report) {
                *sum += number;
            }
        }
        cleaned_once(&superuser, ROWS).await?;
        assert_eq!(sums, [ROWS / 2, ROWS / 2, 0], "each was told of once");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_naive_cleaners_repair_resources_again() -> anyhow::Result<()> {
    const ROWS: i64 = 1000;
    let site = Site::new(Route::Direct)?;
    crashed(&site.sql().await?, &superuser(&site).await?, ROWS).await?;
    let all_have_read = Arc::new(Barrier::new(CLEANERS));
    let mut cleaners = JoinSet::new();
    for _ in FILTERS {
        let sql = superuser(&site).await?;
        cleaners.spawn(naive_cleanup(sql, Arc::clone(&all_have_read)));
    }
    while let Some(done) = cleaners.join_next().await {
        done??;
    }
    let violation = Violation::expected_in(cleaned_once(&superuser(&site).await?, ROWS).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}

/// In the middle of the rule, a trigger sleeps while this advisory lock is held.
const HOLD_UP: &str = "SELECT pg_advisory_lock(4711)";
const MIDDLE: i64 = 500;
const ROWS: i64 = 2000;

/// How a repair ends before its time.
enum End {
    Terminated,
    ServerCrash,
}

/// A repair is stopped in the middle, where it has deleted work and repaired resources, and interrupted there.
async fn broken_off(server: &mut PrivateServer, end: End) -> anyhow::Result<()> {
    let (manager, root) = (server::manager(server), server.url());
    let superuser = Sql::connect(&root).await?;
    let sql = Sql::connect(&manager).await?;
    crashed(&sql, &superuser, ROWS).await?;
    sql.run(&format!(
        "CREATE FUNCTION app.hold_up() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN
                  IF NEW.id = ''v{}'' AND EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = ''advisory'' AND objid = 4711) THEN
                      PERFORM pg_catalog.pg_sleep(600);
                  END IF;
                  RETURN NEW;
              END';
         CREATE TRIGGER hold_up BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.hold_up()",
        2 * MIDDLE + 1
    ))
    .await?;
    // Each row that is gone stands for one repair: a try commits both, or neither.
    let state = "SELECT concat((SELECT count(*) FROM volguard.workers) + (SELECT sum(size) FROM app.volumes), ' ', (SELECT count(fenced_at) FROM volguard.services))";
    superuser.run("ALTER DATABASE volguard SET volguard.rule_timeout = '10 min'").await?;
    // The first half: all services are fenced, and their plain locks free.
    sql.run("SELECT FROM volguard.cleanup()").await?;
    let before = superuser.text(state).await?;
    superuser.run(HOLD_UP).await?;
    let cleaner = Sql::connect(&manager).await?;
    let cleaning = tokio::spawn(async move { cleanup(cleaner, "").await });
    let held_up =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'volguard repair worker'";
    let process = until("a repair in its middle", async || Ok(superuser.number(held_up).await?)).await?;
    match end {
        End::Terminated => {
            superuser.run(&format!("SELECT pg_terminate_backend({process})")).await?;
            let [_, repaired, stale] = cleaning.await??;
            assert!(repaired < ROWS / 2 && stale == 0, "{repaired} {stale}");
            let reasons = "SELECT string_agg(DISTINCT awaiting_reason, ', ') FROM volguard.workers";
            let reason = superuser.text(reasons).await?;
            assert_eq!(reason.as_deref(), Some("the process that ran the crash rule has ended"));
            superuser.run("SELECT pg_advisory_unlock(4711)").await?;
        }
        End::ServerCrash => {
            server::power_failure(server)?;
            assert!(cleaning.await?.is_err());
        }
    }
    drop(superuser);
    let superuser = Sql::connect(&root).await?;
    assert_eq!(superuser.text(state).await?, before, "nothing has happened twice, or by halves");
    let left = superuser.number("SELECT count(*) FROM volguard.workers").await?.context("a row")?;
    let report = cleanup(Sql::connect(&manager).await?, "").await?;
    assert_eq!(report, [0, left, 0]);
    cleaned_once(&superuser, ROWS).await
}

#[tokio::test]
async fn a_cleanup_that_is_terminated_leaves_all_to_the_next() -> anyhow::Result<()> {
    broken_off(&mut server::server(Profile::Debug)?, End::Terminated).await
}

#[tokio::test]
async fn a_cleanup_that_a_crash_ends_leaves_all_to_the_next() -> anyhow::Result<()> {
    broken_off(&mut server::server(Profile::Debug)?, End::ServerCrash).await
}

/// A repair in one transaction and a delete in another: after a crash between the two the repair is done again.
#[tokio::test]
async fn in_two_transactions_a_crash_between_them_repairs_again() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let superuser = superuser(&site).await?;
    let sql = site.sql().await?;
    crashed(&sql, &superuser, ROWS).await?;
    let repair = "UPDATE app.volumes SET size = size + 1 WHERE status = 'creating'";
    sql.run(repair).await?;
    cleanup(sql, "").await?;
    let violation = Violation::expected_in(cleaned_once(&superuser, ROWS).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}

async fn superuser(site: &Site) -> anyhow::Result<Sql> {
    let database = site.psql("SELECT current_database()")?;
    Ok(Sql::connect(&site.server().url_of(database.trim())).await?)
}
