//! Databases that come from a dump, a copy or `pg_upgrade`: all
//! data is there, the rules work, and numbers go on growing.

mod original;

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Violation, furnish, sqlstate};
use volguard_tests::{PrivateServer, Profile};

use crate::server::growing;
use original::{LONG_LEASE, Original, STATE, it_goes_on, manager, server, take};

/// Dumped, in use for a while, lost, and restored on another server.
async fn restored_elsewhere(profile: Profile, guards: &str) -> anyhow::Result<()> {
    let mut original = Original::new().await?;
    let state = original.server.psql(STATE)?;
    let dump = original.server.dump("volguard", &[])?;
    original.go_on().await?;

    let other = server(profile)?;
    furnish(&other)?;
    other.psql("CREATE DATABASE restored")?;
    if profile == Profile::Sabotage {
        other.psql(&format!("ALTER DATABASE restored SET volguard.sabotage = '{guards}'"))?;
    }
    other.restore(&dump, "restored", &[])?;
    assert_eq!(other.psql_in("restored", STATE)?, state);
    let numbers = "SELECT 'app.volumes'::regclass::oid, 'manager'::regrole::oid";
    assert_ne!(
        other.psql_in("restored", numbers)?,
        original.server.psql(numbers)?,
        "names have brought the rules here, not numbers"
    );
    it_goes_on(&original, &other, "restored").await
}

#[tokio::test]
async fn a_dump_carries_everything_to_another_server() -> anyhow::Result<()> {
    restored_elsewhere(Profile::Debug, "").await
}

#[tokio::test]
async fn without_clock_and_place_a_dump_brings_tokens_back() {
    let violation = Violation::expected_in(restored_elsewhere(Profile::Sabotage, "Clock, Place").await);
    assert!(matches!(violation, Violation::TokenWentBack { .. }), "{violation}");
}

/// In the place of the database itself, under a client that has stayed connected.
#[tokio::test]
async fn a_dump_can_take_the_place_of_its_database() -> anyhow::Result<()> {
    let mut original = Original::new().await?;
    let state = original.server.psql(STATE)?;
    let dump = original.server.dump("volguard", &[])?;
    original.go_on().await?;
    let connected = manager(&original.server, "volguard").await?;
    let token = take(&connected, original.alive, "connected").await?;
    original.drawn.tokens.push(token);

    let options = ["--clean", "--if-exists", "--single-transaction"];
    original.server.restore(&dump, "volguard", &options)?;
    assert_eq!(original.server.psql(STATE)?, state);
    let token = take(&connected, original.alive, "connected").await?;
    growing(&original.drawn.tokens, &[token])?;
    original.drawn.tokens.push(token);
    it_goes_on(&original, &original.server, "volguard").await
}

/// A restored database is dumped and restored twice, and copied as a template: numbers grow in every case.
async fn restored_and_copied(profile: Profile, guards: &str) -> anyhow::Result<()> {
    let mut builder = PrivateServer::builder().profile(profile).durable(false);
    if profile == Profile::Sabotage {
        builder = builder.setting("volguard.sabotage", guards);
    }
    let server = builder.start()?;
    furnish(&server)?;
    let mut before = "volguard".to_owned();
    let mut tokens = Vec::new();
    let mut dump = None;
    for number in 0..6 {
        let sql = manager(&server, &before).await?;
        let service = sql.register("node", LONG_LEASE).await?;
        let mut drawn = Vec::new();
        for key in 0..3 {
            drawn.push(take(&sql, service, &format!("{before}-{key}")).await?);
        }
        growing(&tokens, &drawn)?;
        tokens.extend(drawn);
        drop(sql);

        let next = format!("copy_{number}");
        if number % 2 == 0 {
            // The second time from the dump of the first.
            let dump = match number {
                0 | 2 => dump.insert(server.dump(&before, &[])?),
                _ => dump.as_mut().context("taken before")?,
            };
            server.psql_in("postgres", &format!("CREATE DATABASE {next}"))?;
            server.restore(dump, &next, &[])?;
        } else {
            server.psql_in("postgres", &gone(&before))?;
            server.psql_in("postgres", &format!("CREATE DATABASE {next} TEMPLATE {before}"))?;
        }
        before = next;
    }
    Ok(())
}

#[tokio::test]
async fn a_restored_database_can_be_restored_twice_and_copied() -> anyhow::Result<()> {
    restored_and_copied(Profile::Debug, "").await
}

#[tokio::test]
async fn without_clock_and_place_the_second_restore_brings_tokens_back() {
    let violation = Violation::expected_in(restored_and_copied(Profile::Sabotage, "Clock, Place").await);
    assert!(matches!(violation, Violation::TokenWentBack { .. }), "{violation}");
}

/// A template can't be copied while a session is connected to it.
fn gone(database: &str) -> String {
    format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")
}

/// The extension and its schema belong to that one then.
#[tokio::test]
async fn any_superuser_restores() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    for statement in ["CREATE ROLE founder SUPERUSER", "CREATE DATABASE founded", "CREATE DATABASE restored"] {
        server.psql_in("postgres", statement)?;
    }
    let founded =
        "CREATE ROLE caller; SET ROLE founder; CREATE EXTENSION volguard; SELECT volguard.grant_usage('caller');
                   SELECT volguard.register_service('node', 'test')";
    server.psql_in("founded", founded)?;
    server.restore(&server.dump("founded", &[])?, "restored", &[])?;
    let owners = "SELECT extowner::regrole, nspowner::regrole, (SELECT string_agg(host, ',') FROM volguard.services)
                  FROM pg_extension, pg_namespace WHERE extname = 'volguard' AND nspname = 'volguard'";
    assert_eq!(server.psql_in("founded", owners)?, "founder|founder|node");
    assert_eq!(server.psql_in("restored", owners)?, "postgres|postgres|node");
    // What was granted is granted there.
    let call = "SET ROLE caller; SELECT volguard.register_service('other', 'test') > 0";
    assert_eq!(server.psql_in("restored", call)?, "t");
    Ok(())
}

/// Rows with the oid of a dropped table would name another one where the dump is restored. Services, clusters and rules
/// name roles by their names: they are there, and no role has a right to them.
#[tokio::test]
async fn a_dump_leaves_out_rows_without_an_owner() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    furnish(&server)?;
    server.psql(
        "CREATE ROLE gone;
         SELECT volguard.grant_operator('gone');
         GRANT USAGE, CREATE ON SCHEMA app TO gone;
         SET ROLE gone;
         SELECT volguard.register_service('gone', 'test', 'of gone');
         CREATE TABLE app.given (id text, status text);
         SELECT volguard.track_resource('given', 'app.given'), volguard.on_crash('given', 'extending', '{\"status\": \"error\"}');
         RESET ROLE;
         REASSIGN OWNED BY gone TO manager;
         DROP OWNED BY gone;
         DROP ROLE gone",
    )?;
    let sql = manager(&server, "volguard").await?;
    let service = sql.register("node", LONG_LEASE).await?;
    sql.run(
        r#"CREATE TABLE app.snapshots (id text, status text);
           SELECT volguard.track_resource('snapshot', 'app.snapshots'), volguard.on_crash('snapshot', 'creating', '{"status": "error"}');
           SELECT volguard.track_resource('volume', 'app.volumes'), volguard.on_crash('volume', 'extending', '{"status": "error"}');
           DROP TABLE app.snapshots"#,
    )
    .await?;
    let orphan = server.psql(
        "UPDATE volguard.services SET lease = '1 hour', heartbeat_at = now() WHERE host = 'gone';
         INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, acquired_at, updated_at)
         SELECT cluster, 'volume', 'orphan', '', 1, service_id, now(), now() FROM volguard.services WHERE host = 'gone'
         RETURNING token",
    )?;
    assert_eq!(orphan, "1");
    let numbers = "
        SELECT count(*) FROM volguard.resources WHERE target::text ~ '^[0-9]+$'";
    assert_eq!(server.psql(numbers)?, "1", "it would be a number");

    server.psql_in("postgres", "CREATE DATABASE restored")?;
    server.restore(&server.dump("volguard", &[])?, "restored", &[])?;
    assert_eq!(server.psql_in("restored", numbers)?, "0");
    let left = "
        SELECT 'service', host FROM volguard.services UNION ALL SELECT 'resource', resource_type FROM volguard.resources
        UNION ALL SELECT 'rule', resource_type FROM volguard.crash_rules UNION ALL SELECT 'worker', resource_id FROM volguard.workers
        UNION ALL SELECT 'owner', owner FROM volguard.clusters WHERE owner IS NOT NULL ORDER BY 1, 2";
    let expected = "owner|gone\nresource|given\nresource|volume\nrule|given\nrule|volume\nservice|gone\nservice|node\nworker|orphan";
    assert_eq!(server.psql_in("restored", left)?, expected);
    // The rule of a role that is gone waits for a confirmation by the owner of the table.
    let suspended = "SELECT resource_type, suspended FROM volguard.crash_rule_status WHERE suspended IS NOT NULL";
    assert_eq!(server.psql_in("restored", suspended)?, "given|the table has another owner now");
    // Without owners the tables are the restoring superuser's: no rule runs as that role unasked.
    server.psql_in("postgres", "CREATE DATABASE without_owners")?;
    server.restore(&server.dump("volguard", &[])?, "without_owners", &["--no-owner"])?;
    let all = "SELECT count(*), count(suspended) FROM volguard.crash_rule_status";
    assert_eq!(server.psql_in("without_owners", all)?, "2|2");
    // Only a superuser acts for a role that is gone. An operator declares its service dead, and gives the cluster away.
    let sql = manager(&server, "restored").await?;
    for act in ["volguard.release(1)", "volguard.register_service('gone', 'test', 'of gone')"] {
        let refused = sql.run(&format!("SELECT {act}")).await.expect_err(act);
        assert_eq!(sqlstate(&refused), "42501", "{act}");
    }
    assert_eq!(sql.acquire(service, "orphan", Duration::ZERO).await?, None, "its lease is not over");
    sql.run("SELECT volguard.set_cluster_owner('of gone', 'manager')").await?;
    sql.run("SELECT volguard.register_service('gone', 'test', 'of gone')").await?;
    growing(&[1], &[take(&sql, service, "orphan").await?])?;
    Ok(())
}

/// A role that may not read volguard's tables can't dump them, and can leave them out.
#[tokio::test]
async fn a_dump_needs_a_role_that_may_read_everything() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    furnish(&server)?;
    manager(&server, "volguard").await?.register("node", LONG_LEASE).await?;
    let refused = server.dump("volguard", &["--role=manager"]);
    let refused = refused.expect_err("not his tables").to_string();
    // The words of pg_dump 18 are the second ones.
    let words = ["permission denied", "may lack SELECT privilege"];
    assert!(words.iter().any(|words| refused.contains(words)), "{refused}");

    let services = "SELECT count(*) FROM volguard.services";
    let without = ["--role=manager", "--exclude-table-data=volguard.*"];
    server.psql_in("postgres", "CREATE DATABASE without")?;
    server.restore(&server.dump("volguard", &without)?, "without", &[])?;
    assert_eq!(server.psql_in("without", services)?, "0");

    server.psql("GRANT pg_read_all_data TO manager")?;
    let all = ["--role=manager"];
    server.psql_in("postgres", "CREATE DATABASE restored")?;
    server.restore(&server.dump("volguard", &all)?, "restored", &[])?;
    assert_eq!(server.psql_in("restored", services)?, "1");
    Ok(())
}

/// `pg_upgrade` makes a new place, with the sequence and all rows of the old one.
#[tokio::test]
async fn tokens_grow_over_pg_upgrade() -> anyhow::Result<()> {
    let mut original = Original::new().await?;
    original.go_on().await?;
    let state = original.server.psql(STATE)?;
    let server = PrivateServer::builder().durable(false).start_upgraded(&mut original.server)?;
    assert_eq!(server.psql(STATE)?, state);
    let sql = manager(&server, "volguard").await?;
    // The later changes of the original are here, too.
    assert!(
        sql.holds("SELECT bool_or(volguard.release(token)) FROM volguard.lock_status WHERE resource_id = 'later-0'")
            .await?
    );
    it_goes_on(&original, &server, "volguard").await
}
