//! The processes that run crash rules: what fails at their commit, and servers that have no room for them.

use std::time::Duration;

use volguard_tests::PrivateServer;
use volguard_tests::scenario::{Observer, Route, Site, Sql, furnish, url};

const LONG: Duration = Duration::from_secs(60);

/// A service dies with work on these volumes.
async fn crashed(sql: &Sql, observer: &Observer, ids: &[&str]) -> anyhow::Result<i64> {
    let dead = sql.register("dead", LONG).await?;
    for id in ids {
        sql.run(&format!(
            "INSERT INTO app.volumes (id, status) VALUES ('{id}', 'extending');
             SELECT volguard.acquire({dead}, 'volume', '{id}', status => 'extending')"
        ))
        .await?;
    }
    observer.end_lease(dead).await?;
    Ok(dead)
}

const RULE: &str = r#"SELECT volguard.track_resource('volume', 'app.volumes');
    SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}')"#;

const LEFT: &str =
    "SELECT string_agg(resource_id || ': ' || coalesce(awaiting_reason, 'untried'), ', ' ORDER BY resource_id)
    FROM volguard.workers WHERE status IS NOT NULL";

/// A deferred constraint on another server is checked when that commits, which is when this one does.
#[tokio::test]
async fn what_fails_at_the_commit_is_a_failed_rule() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (port, database) = (site.server().port(), site.database());
    let url_of_superuser = site.server().url_of(database);
    let password = url_of_superuser.split([':', '@']).nth(2).expect("a password").to_owned();
    site.psql(&format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE TABLE app.far (id text UNIQUE DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO app.far VALUES ('bad');
         CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{database}');
         CREATE USER MAPPING FOR manager SERVER far OPTIONS (user 'postgres', password '{password}');
         CREATE FOREIGN TABLE app.there (id text) SERVER far OPTIONS (schema_name 'app', table_name 'far');
         ALTER FOREIGN TABLE app.there OWNER TO manager"
    ))?;
    let sql = site.sql().await?;
    sql.run(RULE).await?;
    sql.run(
        "CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO app.there VALUES (NEW.id); RETURN NEW; END';
         CREATE TRIGGER tell BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.tell()",
    )
    .await?;
    crashed(&sql, &site.observer().await?, &["bad", "good", "other"]).await?;
    sql.run("CALL volguard.run_cleanup()").await?;
    let left = site.psql(LEFT)?;
    assert!(left.starts_with("bad: ") && left.contains("duplicate key") && !left.contains(", good"), "{left}");
    assert_eq!(site.psql("SELECT string_agg(id, ' ' ORDER BY id) FROM app.far")?.trim(), "bad good other");
    let states = "SELECT string_agg(status, ' ' ORDER BY id) FROM app.volumes";
    assert_eq!(site.psql(states)?.trim(), "extending error error");
    Ok(())
}

#[tokio::test]
async fn without_room_for_a_process_work_waits_and_says_so() -> anyhow::Result<()> {
    // Postgres' own launcher of logical replication has one.
    let mut server = PrivateServer::builder().setting("max_worker_processes", "1").start()?;
    furnish(&server)?;
    let manager = url("manager", server.port(), "volguard");
    let sql = Sql::connect(&manager).await?;
    sql.run(RULE).await?;
    crashed(&sql, &Observer::of(&server.url()).await?, &["v"]).await?;
    sql.run("CALL volguard.run_cleanup()").await?;
    let told = "v: not tried: no process is left for a repair: raise max_worker_processes, or free shared memory";
    assert_eq!(server.psql(LEFT)?.trim(), told);
    // An acquire waits its time, and a claim gets nothing.
    let heir = sql.register("heir", LONG).await?;
    server.psql("UPDATE volguard.workers SET retry_at = NULL")?;
    let acquire = format!("SELECT volguard.acquire({heir}, 'volume', 'v', wait => '1 s')");
    assert_eq!(sql.number(&acquire).await?, None);
    assert_eq!(sql.number(&format!("SELECT count(*) FROM volguard.claim_cleanup({heir})")).await?, Some(0));
    server.psql("ALTER SYSTEM SET max_worker_processes = 2")?;
    server.stop()?;
    server.restart()?;
    Sql::connect(&manager).await?.run("CALL volguard.run_cleanup()").await?;
    assert_eq!(server.psql(LEFT)?.trim(), "");
    Ok(())
}

/// A process is not stopped by what is set for its database, such as the role that sessions begin with.
#[tokio::test]
async fn settings_of_a_database_stop_no_repair() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    sql.run(RULE).await?;
    crashed(&sql, &observer, &["v"]).await?;
    for setting in [
        "role TO stranger",
        "session_authorization TO stranger",
        "statement_timeout TO '1ms'",
        "lock_timeout TO '1ms'",
        "default_transaction_read_only TO on",
        "default_transaction_isolation TO serializable",
        "idle_in_transaction_session_timeout TO '1ms'",
        "search_path TO pg_temp",
        "row_security TO off",
    ] {
        observer.sql().run(&format!("ALTER DATABASE \"{}\" SET {setting}", site.database())).await?;
    }
    sql.run("CALL volguard.run_cleanup()").await?;
    assert_eq!(observer.sql().text(LEFT).await?, None);
    Ok(())
}

/// One process at a time runs the rules of an owner, and each call gets its turn.
#[tokio::test]
async fn calls_that_wait_for_dead_work_are_served_in_turn() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    sql.run(RULE).await?;
    let ids: Vec<String> = (0..12).map(|number| format!("v{number}")).collect();
    crashed(&sql, &observer, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let heir = sql.register("heir", LONG).await?;
    let mut calls = Vec::new();
    for id in ids {
        let sql = site.sql().await?;
        let acquire = format!("SELECT volguard.acquire({heir}, 'volume', '{id}', wait => '60 s') IS NOT NULL");
        calls.push(tokio::spawn(async move { sql.holds(&acquire).await }));
    }
    for call in calls {
        assert!(call.await??, "a call was refused");
    }
    Ok(())
}

/// A rule ends its process on one row.
#[tokio::test]
async fn a_row_that_ends_the_process_keeps_no_other_from_its_repair() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    sql.run(RULE).await?;
    sql.run(
        "CREATE FUNCTION app.end() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.id = 'bad' THEN PERFORM set_config('exit_on_error', 'on', false); RAISE 'the end'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER \"end\" BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.end()",
    )
    .await?;
    crashed(&sql, &observer, &["v1", "bad", "v2", "v3"]).await?;
    for _ in 0..6 {
        sql.run("CALL volguard.run_cleanup()").await?;
    }
    assert_eq!(site.psql(LEFT)?.trim(), "bad: the process that ran the crash rule has ended");
    let events = "SELECT count(*) > 0 FROM volguard.event_log WHERE kind = 'rule_failed' AND resource_id IS NOT NULL";
    assert_eq!(site.psql(events)?.trim(), "t");
    Ok(())
}

#[tokio::test]
async fn a_process_that_does_not_start_is_told() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    sql.run(RULE).await?;
    crashed(&sql, &observer, &["v"]).await?;
    sql.run("SELECT FROM volguard.cleanup()").await?;
    let connections = format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS", site.database());
    let elsewhere = Sql::connect(&site.server().url()).await?;
    elsewhere.run(&format!("{connections} false")).await?;
    let state = "SELECT state FROM volguard.cleanup()";
    assert_eq!(sql.text(state).await?.as_deref(), Some("unavailable"));
    let told = "v: not tried: the process for a repair has not started: see the log of the server";
    assert_eq!(observer.sql().text(LEFT).await?.as_deref(), Some(told));
    elsewhere.run(&format!("{connections} true")).await?;
    assert_eq!(sql.text(state).await?.as_deref(), Some("cleaned"));
    Ok(())
}
