//! Locks that users, and transactions left open, have in the way of a cleanup: they hold up what they are about, and
//! nothing else.

use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use volguard_tests::scenario::{Route, Site, Sql, Violation, until};

const LONG: Duration = Duration::from_secs(60);
/// Much longer than a cleanup that waits for nothing takes.
const LIMIT: Duration = Duration::from_secs(30);
const SERVICES: usize = 12;

by_both_routes!(a_locked_row_holds_up_its_own_repair, a_locked_table_holds_up_its_own_repairs, open_transactions,);

/// Dead services, each with a plain lock and work on two volumes.
async fn crashed(site: &Site, services: usize) -> anyhow::Result<(Sql, Vec<i64>)> {
    let sql = site.sql().await?;
    sql.run(
        r#"SELECT volguard.track_resource('volume', 'app.volumes');
           SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}')"#,
    )
    .await?;
    let mut dead = Vec::new();
    for number in 0..services {
        let service = sql.register(&format!("dead-{number}"), LONG).await?;
        sql.run(&format!(
            "INSERT INTO app.volumes (id, status) SELECT n || '-{number}', 'extending' FROM unnest(ARRAY['a', 'b']) AS n;
             SELECT volguard.acquire({service}, 'volume', n || '-{number}', status => 'extending')
             FROM unnest(ARRAY['a', 'b']) AS n;
             SELECT volguard.acquire({service}, 'pool', '{number}')"
        ))
        .await?;
        site.observer().await?.end_lease(service).await?;
        dead.push(service);
    }
    Ok((sql, dead))
}

async fn promptly(sql: &Sql, statement: &str) -> anyhow::Result<()> {
    match timeout(LIMIT, sql.run(statement)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Violation::Waiting("a cleanup waits for another transaction").into()),
    }
}

async fn expect(site: &Site, query: &str, expected: &str) -> anyhow::Result<()> {
    let got = site.observer().await?.sql().text(query).await?.unwrap_or_default();
    match got == expected {
        true => Ok(()),
        false => Err(Violation::LeftBehind(format!("{query}: {got}")).into()),
    }
}

const REASONS: &str =
    "SELECT string_agg(DISTINCT awaiting_reason, '; ') FROM volguard.workers WHERE status IS NOT NULL";
const LEFT: &str = "SELECT string_agg(resource_id, ' ' ORDER BY resource_id) FROM volguard.workers";

async fn a_locked_row_holds_up_its_own_repair(site: &Site) -> anyhow::Result<()> {
    let (sql, _) = crashed(site, 1).await?;
    let user = site.sql().await?;
    user.run("BEGIN; SELECT FROM app.volumes WHERE id = 'a-0' FOR UPDATE").await?;
    promptly(&sql, "CALL volguard.run_cleanup()").await?;
    expect(site, LEFT, "a-0").await?;
    expect(site, REASONS, "not tried: another transaction has locked the row").await?;
    user.run("COMMIT").await?;
    promptly(&sql, "CALL volguard.run_cleanup()").await?;
    expect(site, LEFT, "").await
}

#[tokio::test]
async fn without_skipping_locked_rows_the_rule_waits_for_them() -> anyhow::Result<()> {
    let site = Site::without("LockedRows")?;
    let violation = Violation::expected_in(a_locked_row_holds_up_its_own_repair(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// As by a migration. The plain locks of all services are free.
async fn a_locked_table_holds_up_its_own_repairs(site: &Site) -> anyhow::Result<()> {
    let (sql, _) = crashed(site, SERVICES).await?;
    let heir = sql.register("heir", LONG).await?;
    let user = site.sql().await?;
    user.run("BEGIN; LOCK TABLE app.volumes").await?;
    promptly(&sql, "CALL volguard.run_cleanup()").await?;
    expect(site, "SELECT count(*) FROM volguard.workers WHERE status IS NULL", "0").await?;
    expect(site, REASONS, "not tried: another transaction has locked the table app.volumes").await?;
    assert!(sql.number(&format!("SELECT volguard.acquire({heir}, 'pool', '0')")).await?.is_some());
    user.run("COMMIT").await?;
    promptly(&sql, "CALL volguard.run_cleanup()").await?;
    expect(site, "SELECT count(*) FROM volguard.workers WHERE status IS NOT NULL", "0").await
}

#[tokio::test]
async fn without_trying_the_table_each_rule_waits_for_it() -> anyhow::Result<()> {
    let site = Site::without("LockedTable")?;
    let violation = Violation::expected_in(a_locked_table_holds_up_its_own_repairs(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// A transaction that has checked a token, one that cleans up, one that sends a heartbeat; all are left open.
async fn open_transactions(site: &Site) -> anyhow::Result<()> {
    let (sql, dead) = crashed(site, 4).await?;
    let heir = sql.register("heir", LONG).await?;
    let token = format!("SELECT token FROM volguard.lock_status WHERE service_id = {} AND status IS NULL", dead[0]);
    let token = sql.number(&token).await?.context("held")?;
    let open = [
        format!("SELECT volguard.assert_held({token})"),
        format!("SELECT FROM volguard.cleanup(service_id => {})", dead[1]),
        format!("SELECT volguard.heartbeat({})", dead[2]),
    ];
    let mut sessions = Vec::new();
    for statement in &open {
        let session = site.sql().await?;
        session.run(&format!("BEGIN; {statement}")).await?;
        sessions.push(session);
    }
    // Each cleanup ends, and does what is not in the way.
    promptly(&sql, "SELECT FROM volguard.auto_cleanup()").await?;
    promptly(&sql, "CALL volguard.run_cleanup()").await?;
    expect(site, &format!("SELECT count(*) FROM volguard.workers WHERE service_id = {}", dead[3]), "0").await?;
    let busy = "SELECT count(*) FROM volguard.cleanup() WHERE state = 'busy'";
    assert_eq!(sql.number(busy).await?, Some(3));
    // An acquire of a key in the way is refused, waits its time, and writes nothing.
    for (number, wait) in [(0, "0"), (0, "100 ms"), (1, "0"), (2, "0"), (2, "100 ms")] {
        let acquire = format!("SELECT volguard.acquire({heir}, 'pool', '{number}', wait => '{wait}')");
        promptly(&sql, "BEGIN").await?;
        promptly(&sql, &acquire).await?;
        let assigned = sql.text("SELECT pg_current_xact_id_if_assigned()").await?;
        sql.run("COMMIT").await?;
        if assigned.is_some() {
            return Err(Violation::LeftBehind(format!("{acquire} has written")).into());
        }
    }
    for session in sessions {
        session.run("COMMIT").await?;
    }
    promptly(&sql, "CALL volguard.run_cleanup()").await?;
    // The heartbeat has revived one.
    expect(site, LEFT, "2 a-2 b-2").await
}

/// A waiter has the plain lock while a rule is still running.
async fn plain_locks_are_free_before_the_first_rule(site: &Site) -> anyhow::Result<()> {
    let (sql, _) = crashed(site, 1).await?;
    // That one is fenced; another one dies now, which has a plain lock.
    sql.run("SELECT FROM volguard.cleanup()").await?;
    let late = sql.register("late", LONG).await?;
    sql.run(&format!("SELECT volguard.acquire({late}, 'pool', 'late')")).await?;
    site.observer().await?.end_lease(late).await?;
    sql.run(
        "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN NEW; END';
         CREATE TRIGGER slow BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.slow()",
    )
    .await?;
    let database = site.psql("SELECT current_database()")?;
    site.psql(&format!("ALTER DATABASE \"{}\" SET volguard.rule_timeout = '10 min'", database.trim()))?;
    let heir = sql.register("heir", LONG).await?;
    let cleaner = site.sql().await?;
    let cleaning = tokio::spawn(async move { cleaner.run("CALL volguard.run_cleanup()").await });
    let sleeps =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'volguard repair worker'
                  AND datname = current_database()";
    let observer = site.observer().await?;
    let process = until("the rule's sleep", async || Ok(observer.sql().number(sleeps).await?)).await?;
    let got = sql.number(&format!("SELECT volguard.acquire({heir}, 'pool', 'late', wait => '3 s')")).await?;
    observer.sql().run(&format!("SELECT pg_terminate_backend({process})")).await?;
    cleaning.await??;
    match got {
        Some(_) => Ok(()),
        None => Err(Violation::LeftBehind("a plain lock, for as long as a rule runs".to_owned()).into()),
    }
}

#[tokio::test]
async fn a_rule_has_no_hostages() -> anyhow::Result<()> {
    plain_locks_are_free_before_the_first_rule(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn in_one_transaction_the_plain_locks_are_hostages_of_the_rule() -> anyhow::Result<()> {
    let site = Site::without("FenceFirst")?;
    let violation = Violation::expected_in(plain_locks_are_free_before_the_first_rule(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}
