//! Work that is to be tried again after a crash, while another transaction has its row locked.

use anyhow::Context;
use volguard_tests::scenario::{Site, Violation, until};

use crate::distribution::{furnish, manager, next, submit};

by_both_routes!(a_row_that_was_locked_is_tried_again_later);

/// The rule of other work, whose turn is first, takes as long as this lock is held.
const RULES: &str = r#"
    CREATE FUNCTION app.take_long() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN
             WHILE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = ''advisory'' AND objid = 4712
                 AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) LOOP
                 PERFORM pg_catalog.pg_sleep(0.01);
             END LOOP;
             RETURN NEW;
         END';
    CREATE TRIGGER take_long BEFORE UPDATE ON app.volumes FOR EACH ROW WHEN (OLD.status = 'copying')
        EXECUTE FUNCTION app.take_long();
    SELECT volguard.on_crash('volume', 'copying', '{"status": "error"}');
    SELECT volguard.on_crash('volume', 'deleting', '{"status": "error"}', retry => 1);
    UPDATE app.volumes SET status = 'copying' WHERE id = 'v2'"#;

/// The row is locked when work goes back into its queue, and free when it is the turn of its rule.
async fn a_row_that_was_locked_is_tried_again_later(site: &Site) -> anyhow::Result<()> {
    site.psql(&format!("ALTER DATABASE \"{}\" SET volguard.rule_timeout = '1 min'", site.database()))?;
    let (sql, cleaner) = (site.sql().await?, site.sql().await?);
    let (observer, locker) = (site.observer().await?, site.observer().await?);
    let service = furnish(&sql).await?;
    sql.run(RULES).await?;
    sql.run(&format!("SELECT volguard.acquire({service}, 'volume', 'v2', status => 'copying')")).await?;
    let work = sql.number(&submit(1, "")).await?.context("submitted")?;
    assert_eq!(sql.number(&next(service, "")).await?, Some(work));
    observer.end_lease(service).await?;
    // The first half: the service is fenced.
    sql.run("SELECT * FROM volguard.cleanup()").await?;
    observer.sql().run("SELECT pg_advisory_lock(4712)").await?;
    locker.sql().run("BEGIN; SELECT FROM volguard.workers WHERE resource_id = 'v1' FOR UPDATE").await?;
    let cleaning = tokio::spawn(async move { cleaner.run("SELECT * FROM volguard.cleanup()").await });
    let long = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                               AND wait_event = 'PgSleep' AND backend_type = 'volguard repair worker')";
    until("a rule that takes long", async || Ok(observer.sql().holds(long).await?.then_some(()))).await?;
    locker.sql().run("ROLLBACK").await?;
    observer.sql().run("SELECT pg_advisory_unlock(4712)").await?;
    cleaning.await??;
    until("the end of the repair", async || {
        sql.run("SELECT * FROM volguard.cleanup()").await?;
        let held = format!("SELECT count(*) FROM volguard.lock_status WHERE service_id = {service}");
        Ok((sql.number(&held).await? == Some(0)).then_some(()))
    })
    .await?;
    let status = sql.text("SELECT status FROM app.volumes WHERE id = 'v1'").await?;
    if status.as_deref() != Some("deleting") {
        return Err(Violation::NotOnce(format!("status of work that is to be tried again: {status:?}")).into());
    }
    let heir = manager(&sql, "heir").await?;
    assert_eq!(sql.number(&next(heir, ", wait => '30 s'")).await?, Some(work));
    Ok(())
}

#[tokio::test]
async fn a_rule_that_comes_before_the_next_try_is_seen() -> anyhow::Result<()> {
    let site = Site::without("RetryBeforeRule")?;
    let violation = Violation::expected_in(a_row_that_was_locked_is_tried_again_later(&site).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}
