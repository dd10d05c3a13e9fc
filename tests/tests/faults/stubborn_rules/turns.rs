//! Rules that hang, or take their time, and the turns of the other ones.

use std::time::Duration;

use tokio::time::timeout;
use volguard_tests::scenario::{Route, Site, Violation, until};

use super::Crashed;

/// For cleanups that end by themselves, after several rounds.
const LIMIT: Duration = Duration::from_secs(120);

/// Also where both rules are one owner's: the process for them has no more time than two time-outs take.
#[tokio::test]
async fn a_rule_that_hangs_keeps_no_other_rule_of_its_owner_from_its_turn() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let crashed = Crashed::with(&site, "5 s", &["sleep", "sleep", "sleep"]).await?;
    site.psql(&format!(
        r#"SET ROLE manager;
           SELECT volguard.on_crash('volume', 'deleting', '{{"status": "error"}}');
           RESET ROLE;
           INSERT INTO app.volumes VALUES ('good/9', 'deleting');
           INSERT INTO volguard.workers
               (cluster, resource_type, resource_id, lock_name, token, service_id, status, acquired_at, updated_at)
           SELECT 'cluster', 'volume', 'good/9', '', nextval('volguard.clock'), {}, 'deleting', now(), now()"#,
        crashed.dead
    ))?;
    for _ in 0..2 {
        crashed.run_cleanup_within(LIMIT).await?;
    }
    let left = crashed.left(&site).await?;
    assert!(!left.contains("good"), "{left}");
    Ok(())
}

/// A role has more work left than one call takes, by a rule that hangs: it comes first by each order.
async fn much_work_of_one_owner_keeps_none_of_others(site: &Site) -> anyhow::Result<()> {
    let crashed = Crashed::with(site, "2 s", &["good"]).await?;
    site.psql(&format!(
        r#"CREATE SCHEMA lair AUTHORIZATION stranger;
           GRANT USAGE ON SCHEMA lair TO PUBLIC;
           SELECT volguard.grant_operator('stranger');
           SET ROLE stranger;
           CREATE TABLE lair.volumes (id text PRIMARY KEY, status text);
           GRANT UPDATE ON lair.volumes TO manager;
           INSERT INTO lair.volumes SELECT n, 'hanging' FROM generate_series(1, 60000) AS n;
           CREATE FUNCTION lair.hang() RETURNS trigger LANGUAGE plpgsql
               AS 'BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN NEW; END';
           CREATE TRIGGER hang BEFORE UPDATE ON lair.volumes FOR EACH ROW EXECUTE FUNCTION lair.hang();
           SELECT volguard.track_resource('hanging', 'lair.volumes');
           SELECT volguard.on_crash('hanging', 'hanging', '{{"status": "error"}}');
           RESET ROLE;
           CREATE TEMP TABLE good AS SELECT * FROM volguard.workers WHERE resource_type = 'volume';
           DELETE FROM volguard.workers WHERE resource_type = 'volume';
           INSERT INTO volguard.workers
               (cluster, resource_type, resource_id, lock_name, token, service_id, status, acquired_at, updated_at)
           SELECT 'cluster', 'hanging', n, '', n, {}, 'hanging', now(), now() FROM generate_series(1, 60000) AS n;
           INSERT INTO volguard.workers SELECT * FROM good"#,
        crashed.dead
    ))?;
    crashed.sql.run("SELECT FROM volguard.cleanup()").await?;
    timeout(LIMIT, crashed.sql.run("SELECT FROM volguard.cleanup()")).await??;
    let left = "SELECT count(*) FROM volguard.workers WHERE resource_type = 'volume'";
    match site.observer().await?.sql().number(left).await? {
        Some(0) => Ok(()),
        _ => Err(Violation::Waiting("one owner's work keeps another's from its turn").into()),
    }
}

#[tokio::test]
async fn each_owner_has_a_share_of_a_cleanup() -> anyhow::Result<()> {
    much_work_of_one_owner_keeps_none_of_others(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_a_share_much_work_of_one_owner_keeps_that_of_others() -> anyhow::Result<()> {
    let site = Site::without("Share")?;
    let violation = Violation::expected_in(much_work_of_one_owner_keeps_none_of_others(&site).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

/// A rule that takes its time repairs all in the end, in smaller portions.
#[tokio::test]
async fn a_rule_that_is_only_slow_repairs_all() -> anyhow::Result<()> {
    const ROWS: usize = 300;
    let site = Site::new(Route::Direct)?;
    let crashed = Crashed::with(&site, "1 s", &[]).await?;
    crashed
        .sql
        .run(
            "CREATE OR REPLACE FUNCTION app.stubborn() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.02); RETURN NEW; END'",
        )
        .await?;
    site.psql(&format!(
        "INSERT INTO app.volumes (id, status) SELECT n, 'extending' FROM generate_series(1, {ROWS}) AS n;
         INSERT INTO volguard.workers
             (cluster, resource_type, resource_id, lock_name, token, service_id, status, acquired_at, updated_at)
         SELECT 'cluster', 'volume', n, '', n, {}, 'extending', now(), now() FROM generate_series(1, {ROWS}) AS n",
        crashed.dead
    ))?;
    for _ in 0..20 {
        crashed.run_cleanup_within(LIMIT).await?;
        if crashed.left(&site).await?.is_empty() {
            return Ok(());
        }
        // In place of the time until the next try.
        site.psql("UPDATE volguard.workers SET retry_at = now() WHERE retry_at IS NOT NULL")?;
    }
    anyhow::bail!("left: {}", crashed.left(&site).await?.len())
}

/// A call that sleeps while a rule runs in its process holds up no DDL on volguard's tables, and so nothing behind
/// that.
async fn no_table_is_locked_meanwhile(site: &Site) -> anyhow::Result<()> {
    for call in
        ["cleanup()", "auto_cleanup()", "claim_cleanup(HEIR)", "acquire(HEIR, 'volume', 'sleep/0', wait => '60 s')"]
    {
        let crashed = Crashed::with(site, "10 min", &["sleep"]).await?;
        crashed.sql.run("SELECT FROM volguard.cleanup()").await?;
        let caller = site.sql().await?;
        let pid = caller.pid().await?;
        let statement = format!("SELECT FROM volguard.{}", call.replace("HEIR", &crashed.heir.to_string()));
        let calling = tokio::spawn(async move { caller.run(&statement).await });
        let observer = site.observer().await?;
        let sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'volguard repair worker'
                        AND datname = current_database()";
        let sleeps = format!("SELECT count(*) > 0 {sleeping}");
        until("the rule's sleep", async || Ok(observer.sql().holds(&sleeps).await?.then_some(()))).await?;
        let locked = format!(
            "SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks WHERE relation IS NOT NULL AND pid = {pid}"
        );
        let locked = observer.sql().text(&locked).await?;
        observer.sql().run(&format!("SELECT pg_cancel_backend({pid})")).await?;
        let _ = calling.await?;
        observer.sql().run(&format!("SELECT pg_terminate_backend(pid, 60000) {sleeping}")).await?;
        if let Some(tables) = locked {
            return Err(Violation::LeftBehind(format!("locks of {call} on {tables}")).into());
        }
        site.psql(
            "DROP TRIGGER stubborn ON app.volumes; DROP FUNCTION app.stubborn; DELETE FROM app.volumes;
             DELETE FROM volguard.workers; DELETE FROM volguard.resources",
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_sleeps_for_a_rule_locks_no_table() -> anyhow::Result<()> {
    no_table_is_locked_meanwhile(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_giving_locks_back_it_does() -> anyhow::Result<()> {
    let site = Site::without("LookupLocks")?;
    let violation = Violation::expected_in(no_table_is_locked_meanwhile(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}
