//! Thousands of dead services, in as many clusters: each call stays within its budget, and calls in a loop end.

use anyhow::Context;
use volguard_tests::scenario::{Sql, Violation, furnish};
use volguard_tests::{PrivateServer, PrivateServerBuilder, Profile};

/// What one call does at the most, as the manual says.
const BUDGET: i64 = 200;

async fn crashed(server: &PrivateServer, services: usize, clusters: usize) -> anyhow::Result<Sql> {
    furnish(server)?;
    let superuser = Sql::connect(&server.url_of("volguard")).await?;
    // Each registration takes a lock until the commit.
    superuser
        .run(&format!(
            "DO $$
             BEGIN
                 FOR n IN 1..{services} LOOP
                     PERFORM volguard.register_service('host-' || n, 'test', 'cluster-' || n % {clusters});
                     COMMIT;
                 END LOOP;
             END $$"
        ))
        .await?;
    superuser
        .run(&format!(
            r#"SELECT volguard.track_resource('volume', 'app.volumes');
               SELECT volguard.on_crash('volume', 'extending', '{{"size": {{"add": [{{"column": "size"}}, 1]}}}}');
               INSERT INTO app.volumes (id, status) SELECT n, 'extending' FROM generate_series(1, {services}) AS n;
               INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, status, acquired_at, updated_at)
               SELECT cluster, 'volume', substr(host, 6), kind, nextval('volguard.clock'), service_id, nullif(kind, ''), now(), now()
               FROM volguard.services, unnest(ARRAY['', 'extending']) AS kind;
               UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour'"#
        ))
        .await?;
    Ok(superuser)
}

/// Each volume was repaired once, and nothing is left.
async fn all_cleaned(sql: &Sql, services: usize) -> anyhow::Result<()> {
    let repaired = "SELECT count(*) FROM app.volumes WHERE size = 2";
    if sql.number(repaired).await? != Some(services as i64) {
        return Err(Violation::NotOnce(format!("{repaired}: {:?}", sql.number(repaired).await?)).into());
    }
    let left =
        "SELECT (SELECT count(*) FROM volguard.workers) + count(*) FROM volguard.services WHERE fenced_at IS NULL";
    match sql.number(left).await? {
        Some(0) => Ok(()),
        left => Err(Violation::LeftBehind(format!("{left:?} rows and services")).into()),
    }
}

fn small_lock_table() -> PrivateServerBuilder {
    PrivateServer::builder()
        .durable(false)
        .setting("max_locks_per_transaction", "10")
        .setting("max_connections", "20")
        .setting("autovacuum", "off")
}

/// Calls in a loop, each in its own transaction, until one says that no other would do more.
async fn in_a_loop(sql: &Sql, call: &str, budget: i64) -> anyhow::Result<usize> {
    let round = format!(
        "SELECT count(*) FILTER (WHERE state <> 'more') || ' ' || count(*) FILTER (WHERE state = 'more') FROM {call}"
    );
    for number in 1..10_000 {
        let text = sql.text(&round).await?.context("a row")?;
        let (services, more) = text.split_once(' ').context("two numbers")?;
        if services.parse::<i64>()? > budget {
            return Err(Violation::Waiting("a call cleans up after more services than it may").into());
        }
        if more == "0" {
            return Ok(number);
        }
    }
    Err(Violation::Waiting("calls in a loop don't end").into())
}

#[tokio::test]
async fn thousands_in_as_many_clusters_are_cleaned_with_a_small_lock_table() -> anyhow::Result<()> {
    const SERVICES: usize = 9000;
    let server = small_lock_table().start()?;
    let sql = crashed(&server, SERVICES, SERVICES).await?;
    in_a_loop(&sql, "volguard.auto_cleanup()", BUDGET).await?;
    all_cleaned(&sql, SERVICES).await
}

async fn three_thousand_in_bounded_transactions(server: &PrivateServer) -> anyhow::Result<()> {
    const SERVICES: usize = 3000;
    let sql = crashed(server, SERVICES, 3).await?;
    let rounds = in_a_loop(&sql, "volguard.cleanup()", BUDGET).await?;
    assert!(rounds >= 2 * SERVICES / BUDGET as usize, "{rounds}");
    all_cleaned(&sql, SERVICES).await
}

#[tokio::test]
async fn three_thousand_are_cleaned_in_bounded_transactions() -> anyhow::Result<()> {
    three_thousand_in_bounded_transactions(&PrivateServer::builder().durable(false).start()?).await
}

#[tokio::test]
async fn without_a_budget_one_call_does_all() -> anyhow::Result<()> {
    let server = PrivateServer::builder()
        .profile(Profile::Sabotage)
        .durable(false)
        .setting("shared_preload_libraries", "volguard")
        .setting("volguard.sabotage", "Budget")
        .start()?;
    let violation = Violation::expected_in(three_thousand_in_bounded_transactions(&server).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

/// Also if the lock table is full before a call has come to its budget: it ends with what it has.
#[tokio::test]
async fn a_full_lock_table_ends_a_call_and_not_the_loop() -> anyhow::Result<()> {
    // Postgres 18 has room for more than 2000.
    const SERVICES: usize = 5000;
    let server = small_lock_table()
        .profile(Profile::Sabotage)
        .setting("shared_preload_libraries", "volguard")
        .setting("volguard.sabotage", "Budget")
        .start()?;
    let sql = crashed(&server, SERVICES, SERVICES).await?;
    let rounds = in_a_loop(&sql, "volguard.auto_cleanup()", i64::MAX).await?;
    assert!(rounds > 3, "the lock table has room for all");
    all_cleaned(&sql, SERVICES).await
}

/// A procedure does the loop, and commits each round.
#[tokio::test]
async fn run_cleanup_does_all_rounds() -> anyhow::Result<()> {
    const SERVICES: usize = 500;
    let server = PrivateServer::builder().durable(false).start()?;
    let sql = crashed(&server, SERVICES, 1).await?;
    let row = sql.rows("CALL volguard.run_cleanup()").await?;
    let row: Vec<_> = row.first().context("a row")?.iter().flatten().map(String::as_str).collect();
    assert_eq!(row, ["500", "500", "500", "0", "0", "0"]);
    all_cleaned(&sql, SERVICES).await?;
    let error = sql.run("BEGIN; CALL volguard.run_cleanup()").await.err().context("it commits")?;
    assert_eq!(volguard_tests::scenario::sqlstate(&error), "2D000");
    Ok(())
}
