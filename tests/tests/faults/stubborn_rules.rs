//! Crash rules whose triggers raise any error, sleep, catch a cancel, or say very much: they delay their own work, and
//! nothing else.

mod turns;

use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use volguard_tests::scenario::{Route, Site, Sql, Violation, sqlstate, until};

const LONG: Duration = Duration::from_secs(60);
/// Much longer than all rules together may take, and less than the 30 seconds after which a cleanup gives up by itself.
const LIMIT: Duration = Duration::from_secs(20);

by_both_routes!(whatever_a_trigger_raises_is_a_failed_rule, a_rule_that_takes_long_is_cancelled);

/// The first part of the id says what the trigger does.
const TRIGGER: &str = r#"
    CREATE FUNCTION app.stubborn() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        how text := split_part(OLD.id, '/', 1);
    BEGIN
        CASE how
        WHEN 'sleep' THEN PERFORM pg_catalog.pg_sleep(600);
        WHEN 'spin' THEN LOOP END LOOP;
        WHEN 'catch' THEN
            LOOP
                BEGIN PERFORM pg_catalog.pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;
            END LOOP;
        WHEN 'turn' THEN
            BEGIN PERFORM pg_catalog.pg_sleep(600); EXCEPTION WHEN query_canceled THEN RAISE 'something else'; END;
        WHEN 'talk' THEN RAISE '%', E'two\nlines ' || repeat('x', 20000000) USING DETAIL = repeat('y', 20000000);
        WHEN 'good' THEN NULL;
        ELSE RAISE 'raised %', how USING ERRCODE = how;
        END CASE;
        RETURN NEW;
    END $$;
    CREATE TRIGGER stubborn BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.stubborn();
    SELECT volguard.track_resource('volume', 'app.volumes');
    SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}');"#;

/// A dead service with a plain lock and work on volumes whose ids begin like this.
struct Crashed {
    sql: Sql,
    dead: i64,
    heir: i64,
}

impl Crashed {
    async fn with(site: &Site, limit: &str, hows: &[&str]) -> anyhow::Result<Self> {
        let database = site.psql("SELECT current_database()")?;
        site.psql(&format!("ALTER DATABASE \"{}\" SET volguard.rule_timeout = '{limit}'", database.trim()))?;
        let sql = site.sql().await?;
        sql.run(TRIGGER).await?;
        let dead = sql.register("dead", LONG).await?;
        for (number, how) in hows.iter().enumerate() {
            sql.run(&format!(
                "INSERT INTO app.volumes (id, status) VALUES ('{how}/{number}', 'extending');
                 SELECT volguard.acquire({dead}, 'volume', '{how}/{number}', status => 'extending')"
            ))
            .await?;
        }
        for plain in ["first", "second"] {
            sql.run(&format!("SELECT volguard.acquire({dead}, 'pool', '{plain}')")).await?;
        }
        let heir = sql.register("heir", LONG).await?;
        site.observer().await?.end_lease(dead).await?;
        Ok(Crashed { sql, dead, heir })
    }

    async fn acquire(&self, key: &str, wait: &str) -> anyhow::Result<bool> {
        let (kind, id) = key.split_once(' ').context("a type and an id")?;
        let acquire = format!("SELECT volguard.acquire({}, '{kind}', '{id}', wait => '{wait}') IS NOT NULL", self.heir);
        match self.sql.holds(&acquire).await {
            Ok(got) => Ok(got),
            Err(error) => Err(Violation::Forgotten(format!("an acquire failed with {}", sqlstate(&error))).into()),
        }
    }

    /// What is left: resources and why they wait.
    async fn left(&self, site: &Site) -> anyhow::Result<String> {
        let left = "SELECT string_agg(resource_id || ': ' || coalesce(awaiting_reason, 'untried'), ', ' ORDER BY token)
                    FROM volguard.workers WHERE status IS NOT NULL";
        Ok(site.observer().await?.sql().text(left).await?.unwrap_or_default())
    }

    /// A whole cleanup, which must end, and not with an error of a trigger.
    async fn run_cleanup(&self) -> anyhow::Result<()> {
        self.run_cleanup_within(LIMIT).await
    }

    async fn run_cleanup_within(&self, limit: Duration) -> anyhow::Result<()> {
        match timeout(limit, self.sql.run("CALL volguard.run_cleanup()")).await {
            Err(_) => Err(Violation::Late { what: "a cleanup with a stubborn rule", took: limit, limit }.into()),
            Ok(Err(error)) => {
                let failed = format!("a cleanup failed with {}", sqlstate(&error));
                Err(Violation::LeftBehind(failed).into())
            }
            Ok(Ok(())) => Ok(()),
        }
    }
}

/// Ends the processes whose rules a test has left running: the tests share the server's places for them.
async fn end_processes(site: &Site) -> anyhow::Result<()> {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE backend_type = 'volguard repair worker' AND datname = current_database()";
    Ok(site.observer().await?.sql().run(end).await?)
}

async fn whatever_a_trigger_raises_is_a_failed_rule(site: &Site) -> anyhow::Result<()> {
    let states = ["40001", "57014", "55P03", "40P01", "57P01", "57P03", "53200", "XX000", "VG001", "P0001"];
    let crashed = Crashed::with(site, "1 min", &[&states[..], &["good"]].concat()).await?;
    // The acquire of a plain lock doesn't run a rule.
    assert!(crashed.acquire("pool first", "0").await?);
    crashed.run_cleanup().await?;
    assert!(crashed.acquire("pool second", "0").await?);
    let expected: Vec<_> =
        states.iter().enumerate().map(|(number, state)| format!("{state}/{number}: raised {state}")).collect();
    assert_eq!(crashed.left(site).await?, expected.join(", "));
    // One that runs into it waits on, and does not fail.
    site.psql("UPDATE volguard.workers SET retry_at = now()")?;
    assert!(!crashed.acquire("volume 57014/1", "1 s").await?);
    // The next run repairs what doesn't fail any more.
    crashed.sql.run("DROP TRIGGER stubborn ON app.volumes").await?;
    crashed.run_cleanup().await?;
    assert_eq!(crashed.left(site).await?, "");
    Ok(())
}

async fn a_rule_that_takes_long_is_cancelled(site: &Site) -> anyhow::Result<()> {
    // Long enough for a good one, also where the machine is busy.
    let crashed = Crashed::with(site, "1 s", &["sleep", "catch", "turn", "spin", "good", "good"]).await?;
    crashed.run_cleanup().await?;
    assert!(crashed.acquire("pool first", "0").await?);
    // What a cleanup has not come to is apart from what took too long.
    for _ in 0..3 {
        crashed.run_cleanup().await?;
    }
    let took_long = "the statement took longer than volguard.rule_timeout allows";
    let left = crashed.left(site).await?;
    for how in ["sleep/0", "catch/1", "turn/2", "spin/3"] {
        assert!(left.contains(how), "{left}");
    }
    if left.contains("good") {
        return Err(Violation::LeftBehind(left).into());
    }
    assert!(left.contains(took_long), "{left}");
    // No cancel is left over for what the session does next.
    crashed.sql.run("SELECT pg_sleep(1.5)").await?;
    Ok(())
}

#[tokio::test]
async fn without_the_time_limit_one_rule_holds_up_the_cleanup() -> anyhow::Result<()> {
    let site = Site::without("RuleTimeout")?;
    let violation = Violation::expected_in(a_rule_that_takes_long_is_cancelled(&site).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    end_processes(&site).await
}

/// However often.
async fn a_trigger_that_catches_cancels_is_cancelled(site: &Site) -> anyhow::Result<()> {
    let crashed = Crashed::with(site, "300 ms", &["catch"]).await?;
    crashed.run_cleanup().await?;
    let left = crashed.left(site).await?;
    assert_eq!(left, "catch/0: the statement took longer than volguard.rule_timeout allows");
    Ok(())
}

#[tokio::test]
async fn a_cancel_can_not_be_caught() -> anyhow::Result<()> {
    a_trigger_that_catches_cancels_is_cancelled(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_insisting_it_is_caught() -> anyhow::Result<()> {
    let site = Site::without("Insisting")?;
    let violation = Violation::expected_in(a_trigger_that_catches_cancels_is_cancelled(&site).await);
    assert!(matches!(violation, Violation::Late { .. }), "{violation}");
    end_processes(&site).await
}

#[tokio::test]
async fn a_cancel_that_is_not_taken_back_ends_the_cleanup() -> anyhow::Result<()> {
    let site = Site::without("CancelTakenBack")?;
    let violation = Violation::expected_in(a_rule_that_takes_long_is_cancelled(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// The caller's own limit, and the administrator who cancels the statement, are obeyed.
#[tokio::test]
async fn a_real_cancel_ends_the_cleanup_and_is_no_failure_of_the_rule() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let crashed = Crashed::with(&site, "10 min", &["sleep"]).await?;
    crashed.sql.run("SELECT FROM volguard.cleanup()").await?;
    let cleaner = site.sql().await?;
    let pid = cleaner.pid().await?;
    let cleaning = tokio::spawn(async move { cleaner.run("SELECT FROM volguard.cleanup()").await });
    let sleeps =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'volguard repair worker'
                  AND datname = current_database()";
    let observer = site.observer().await?;
    let process = until("the rule's sleep", async || Ok(observer.sql().number(sleeps).await?)).await?;
    // Another call finds that the rules of this owner are running, and doesn't wait.
    let busy = timeout(LIMIT, crashed.sql.text("SELECT state FROM volguard.cleanup()")).await??;
    assert_eq!(busy.as_deref(), Some("busy"));
    observer.sql().run(&format!("SELECT pg_cancel_backend({pid})")).await?;
    let error = cleaning.await?.err().context("it was cancelled")?;
    assert_eq!(sqlstate(&error), "57014");
    // Its client learns of the error before the transaction is aborted, and with it the right to ask for a repair.
    let locks = format!("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = {pid})");
    until("the end of the call", async || Ok(observer.sql().holds(&locks).await?.then_some(()))).await?;
    let end = format!("SELECT pg_terminate_backend({process}, 60000)");
    assert!(observer.sql().holds(&end).await?);
    let limited = crashed.sql.run("BEGIN; SET LOCAL statement_timeout = '2 s'; SELECT FROM volguard.cleanup()").await;
    assert_eq!(sqlstate(&limited.err().context("it took too long")?), "57014");
    crashed.sql.run("ROLLBACK").await?;
    assert_eq!(crashed.left(&site).await?, "sleep/0: untried");
    end_processes(&site).await
}

/// So no role starts processes without end, however many calls it makes.
async fn one_process_at_a_time(site: &Site) -> anyhow::Result<()> {
    let crashed = Crashed::with(site, "10 min", &["sleep", "sleep"]).await?;
    crashed.sql.run("SELECT FROM volguard.cleanup()").await?;
    let of = |id| format!("SELECT state FROM volguard.cleanup(resource_type => 'volume', resource_id => '{id}')");
    let (cleaner, first) = (site.sql().await?, of("sleep/0"));
    let cleaning = tokio::spawn(async move { cleaner.run(&first).await });
    let sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type = 'volguard repair worker'
                    AND datname = current_database()";
    let observer = site.observer().await?;
    let sleeps = format!("SELECT count(*) > 0 {sleeping}");
    until("the rule's sleep", async || Ok(observer.sql().holds(&sleeps).await?.then_some(()))).await?;
    let second = timeout(LIMIT, crashed.sql.text(&of("sleep/1"))).await;
    observer.sql().run(&format!("SELECT pg_terminate_backend(pid) {sleeping}")).await?;
    cleaning.await??;
    match second {
        Ok(state) => assert_eq!(state?.as_deref(), Some("busy")),
        Err(_) => return Err(Violation::Waiting("a second process runs the rules of an owner").into()),
    }
    Ok(())
}

#[tokio::test]
async fn the_rules_of_an_owner_have_one_process() -> anyhow::Result<()> {
    one_process_at_a_time(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_lock_they_have_many() -> anyhow::Result<()> {
    let site = Site::without("OneRepairer")?;
    let violation = Violation::expected_in(one_process_at_a_time(&site).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

#[tokio::test]
async fn a_long_message_is_clipped() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let crashed = Crashed::with(&site, "1 min", &["talk", "good"]).await?;
    crashed.run_cleanup().await?;
    let observer = site.observer().await?;
    let reason = "SELECT octet_length(awaiting_reason) FROM volguard.workers WHERE status IS NOT NULL";
    let length = observer.sql().number(reason).await?.context("it waits")?;
    assert!((2000..=2048).contains(&length), "{length}");
    let first = "SELECT left(awaiting_reason, 12) FROM volguard.workers WHERE status IS NOT NULL";
    assert_eq!(observer.sql().text(first).await?.as_deref(), Some("two\\nlines x"));
    let event = "SELECT octet_length(details::text) FROM volguard.event_log WHERE kind = 'rule_failed'";
    let length = observer.sql().number(event).await?.context("it is recorded")?;
    assert!(length < 4096, "{length}");
    Ok(())
}

/// An acquire that has asked for a repair waits no longer than it may.
#[tokio::test]
async fn an_acquire_waits_no_longer_for_a_rule_than_it_may() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let crashed = Crashed::with(&site, "10 min", &["sleep"]).await?;
    // Time enough for the process to begin.
    let got = timeout(LIMIT, crashed.acquire("volume sleep/0", "6 s")).await;
    assert!(!got.context("the wait is over")??);
    let state = format!("SELECT state FROM volguard.service_status WHERE service_id = {}", crashed.dead);
    assert_eq!(crashed.sql.text(&state).await?.as_deref(), Some("fenced"), "the fence is that of the process");
    assert!(crashed.acquire("pool first", "0").await?);
    end_processes(&site).await
}
