//! Databases that come out of a dump, a copy or `pg_upgrade`: all is there, the rules work, and numbers go on growing.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Sql, Violation, furnish, url};
use volguard_tests::{PrivateServer, Profile};

use crate::server::growing;

const LONG_LEASE: Duration = Duration::from_secs(60 * 60);

/// All that a dump has to carry, as text.
const STATE: &str = "
    SELECT 'cluster', c::text FROM volguard.clusters AS c UNION ALL
    SELECT 'service', s::text FROM volguard.services AS s UNION ALL
    SELECT 'worker', w::text FROM volguard.workers AS w UNION ALL
    SELECT 'resource', r::text FROM volguard.resources AS r UNION ALL
    SELECT 'rule', r::text FROM volguard.crash_rules AS r UNION ALL
    SELECT 'event', e::text FROM volguard.events AS e ORDER BY 1, 2";

/// The numbers that have been drawn so far.
struct Drawn {
    tokens: Vec<i64>,
    services: Vec<i64>,
}

/// A database with a past, in whose middle it was dumped or will be upgraded.
struct Original {
    server: PrivateServer,
    /// It lives on in the restored database, with the lock `held`.
    alive: i64,
    held: i64,
    /// It has died while it was extending the volume `v0`.
    crashed: i64,
    drawn: Drawn,
}

fn server(profile: Profile) -> anyhow::Result<PrivateServer> {
    Ok(PrivateServer::builder()
        .profile(profile)
        .durable(false)
        .start()?)
}

async fn manager(server: &PrivateServer, database: &str) -> anyhow::Result<Sql> {
    Ok(Sql::connect(&url("manager", server.port(), database)).await?)
}

async fn take(sql: &Sql, service: i64, key: &str) -> anyhow::Result<i64> {
    let token = sql.acquire(service, key, Duration::ZERO).await?;
    token.with_context(|| format!("{key} is free"))
}

impl Original {
    async fn new() -> anyhow::Result<Self> {
        let mut server = server(Profile::Debug)?;
        // The numbers of roles and tables are to be others where it is restored.
        server.psql("CREATE ROLE filler")?;
        furnish(&server)?;
        // Tokens have seen a fail-over.
        server.new_timeline()?;
        let sql = manager(&server, "volguard").await?;
        let alive = sql.register("alive", LONG_LEASE).await?;
        let crashed = sql.register("crashed", LONG_LEASE).await?;
        sql.run(
            r#"INSERT INTO app.volumes VALUES ('v0', 'extending', 1);
               SELECT volguard.track_resource('volume', 'app.volumes');
               SELECT volguard.on_crash('volume', 'extending', '{"status": "error", "size": {"add": [{"column": "size"}, 1]}}');
               SELECT volguard.set_cluster_disabled('default', true, 'it moves')"#,
        )
        .await?;
        let held = take(&sql, alive, "held").await?;
        let work = sql
            .number(&format!(
                "SELECT volguard.acquire({crashed}, 'volume', 'v0', status => 'extending')"
            ))
            .await?;
        let forced = take(&sql, alive, "forced").await?;
        sql.run(&format!("SELECT volguard.force_release({forced}, 'test')"))
            .await?;
        server.psql(&format!(
            "UPDATE volguard.services SET heartbeat_at = heartbeat_at - 2 * lease WHERE service_id = {crashed}"
        ))?;
        Ok(Self {
            server,
            alive,
            held,
            crashed,
            drawn: Drawn {
                tokens: vec![held, work.context("free")?, forced],
                services: vec![alive, crashed],
            },
        })
    }

    /// Draws more numbers, of which a dump that was taken before knows nothing.
    async fn go_on(&mut self) -> anyhow::Result<()> {
        let sql = manager(&self.server, "volguard").await?;
        let later = sql.register("later", LONG_LEASE).await?;
        self.drawn.services.push(later);
        for number in 0..3 {
            let token = take(&sql, later, &format!("later-{number}")).await?;
            self.drawn.tokens.push(token);
        }
        Ok(())
    }
}

/// In the database that has taken the original's place, everything works as if nothing had happened, with larger numbers.
async fn it_goes_on(
    original: &Original,
    server: &PrivateServer,
    database: &str,
) -> anyhow::Result<()> {
    let Original {
        alive,
        held,
        crashed,
        drawn,
        ..
    } = original;
    let sql = manager(server, database).await?;
    growing(&drawn.tokens, &[take(&sql, *alive, "later-0").await?])?;
    growing(&drawn.services, &[sql.register("new", LONG_LEASE).await?])?;
    sql.run(&format!("SELECT volguard.assert_held({held})"))
        .await?;
    let cleaned =
        format!("SELECT resources_cleaned FROM volguard.cleanup(service_id => {crashed})");
    assert_eq!(sql.number(&cleaned).await?, Some(1));
    let volume = "SELECT status || size FROM app.volumes WHERE id = 'v0'";
    assert_eq!(sql.text(volume).await?.as_deref(), Some("error2"));
    let events = "SELECT string_agg(kind, ' ' ORDER BY event_id) FROM volguard.event_log";
    assert_eq!(
        sql.text(events).await?.as_deref(),
        Some("disabled forced fenced cleaned")
    );
    growing(&drawn.tokens, &[take(&sql, *alive, "v0").await?])?;
    Ok(())
}

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
        other.psql(&format!(
            "ALTER DATABASE restored SET volguard.sabotage = '{guards}'"
        ))?;
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
async fn without_the_lineage_tokens_go_back() {
    let violation = Violation::expected_in(restored_elsewhere(Profile::Sabotage, "Lineage").await);
    assert!(
        matches!(violation, Violation::TokenWentBack { .. }),
        "{violation}"
    );
}

/// In the database's own place, below a client that has stayed connected.
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

/// A restored database is dumped and restored, and copied as a template: whatever the way, numbers grow along it.
#[tokio::test]
async fn a_restored_database_can_be_restored_and_copied() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    furnish(&server)?;
    let mut before = "volguard".to_owned();
    let mut tokens = Vec::new();
    for number in 0..4 {
        let sql = manager(&server, &before).await?;
        let service = sql.register("node", LONG_LEASE).await?;
        let mut drawn = Vec::new();
        for key in 0..3 {
            drawn.push(take(&sql, service, &format!("{before}-{key}")).await?);
        }
        growing(&tokens, &drawn)?;
        assert_eq!(drawn[0] >> 56, number, "so many restores");
        tokens.extend(drawn);
        drop(sql);

        let next = format!("copy_{number}");
        if number % 2 == 0 {
            let dump = server.dump(&before, &[])?;
            server.psql_in("postgres", &format!("CREATE DATABASE {next}"))?;
            server.restore(&dump, &next, &[])?;
        } else {
            server.psql_in("postgres", &gone(&before))?;
            server.psql_in(
                "postgres",
                &format!("CREATE DATABASE {next} TEMPLATE {before}"),
            )?;
        }
        before = next;
    }
    Ok(())
}

/// A template can't be copied while somebody is connected.
fn gone(database: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'"
    )
}

/// Rows that name a role or a table that is gone would be somebody else's where the dump is restored.
#[tokio::test]
async fn a_dump_leaves_behind_what_belongs_to_nobody() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    furnish(&server)?;
    server.psql(
        "CREATE ROLE gone;
         SELECT volguard.grant_usage('gone');
         GRANT USAGE ON SCHEMA app TO gone;
         GRANT SELECT, UPDATE ON app.volumes TO gone;
         SET ROLE gone;
         SELECT volguard.register_service('gone', 'test');
         SELECT volguard.track_resource('of nobody', 'app.volumes'), volguard.on_crash('of nobody', 'extending', '{\"status\": \"error\"}');
         RESET ROLE;
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
        "UPDATE volguard.services SET lease = '1 hour' WHERE host = 'gone';
         INSERT INTO volguard.workers (cluster, resource_type, resource_id, lock_name, token, service_id, acquired_at, updated_at)
         SELECT cluster, 'volume', 'orphan', '', 1, service_id, now(), now() FROM volguard.services WHERE host = 'gone'
         RETURNING token",
    )?;
    assert_eq!(orphan, "1");
    let numbers = "
        SELECT count(*) FROM (SELECT registered_by FROM volguard.services UNION ALL SELECT registered_by FROM volguard.resources
                              UNION ALL SELECT registered_by FROM volguard.crash_rules) AS r WHERE registered_by::text ~ '^[0-9]+$'
        UNION ALL SELECT count(*) FROM volguard.resources WHERE target::text ~ '^[0-9]+$'";
    assert_eq!(server.psql(numbers)?, "3\n1", "they would be numbers");

    server.psql_in("postgres", "CREATE DATABASE restored")?;
    server.restore(&server.dump("volguard", &[])?, "restored", &[])?;
    assert_eq!(server.psql_in("restored", numbers)?, "0\n0");
    let left = "
        SELECT 'service', host FROM volguard.services UNION ALL SELECT 'resource', resource_type FROM volguard.resources
        UNION ALL SELECT 'rule', resource_type FROM volguard.crash_rules UNION ALL SELECT 'worker', resource_id FROM volguard.workers ORDER BY 1";
    assert_eq!(
        server.psql_in("restored", left)?,
        "resource|volume\nrule|volume\nservice|node\nworker|orphan"
    );
    // The lock of a service that nobody knows is that of a dead one.
    let sql = manager(&server, "restored").await?;
    growing(&[1], &[take(&sql, service, "orphan").await?])?;
    Ok(())
}

/// Whoever may not read volguard's tables can't dump them, and can leave them out.
#[tokio::test]
async fn a_dump_needs_somebody_who_may_read_everything() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    furnish(&server)?;
    manager(&server, "volguard")
        .await?
        .register("node", LONG_LEASE)
        .await?;
    let refused = server.dump("volguard", &["--role=manager"]);
    let refused = refused.expect_err("not his tables").to_string();
    assert!(refused.contains("permission denied"), "{refused}");

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

/// `pg_upgrade` makes a cluster whose timelines begin anew.
async fn upgraded(profile: Profile, guards: &str) -> anyhow::Result<()> {
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    let mut original = Original::new().await?;
    original.go_on().await?;
    let state = original.server.psql(STATE)?;
    original.server.psql("CHECKPOINT")?;
    assert_eq!(original.server.psql(timeline)?, "2");
    let mut builder = PrivateServer::builder().profile(profile).durable(false);
    if profile == Profile::Sabotage {
        builder = builder.setting("volguard.sabotage", guards);
    }
    let server = builder.start_upgraded(&mut original.server)?;
    assert_eq!(server.psql(timeline)?, "1");
    assert_eq!(server.psql(STATE)?, state);
    let sql = manager(&server, "volguard").await?;
    // What the original went on to do is here, too.
    assert!(sql.holds("SELECT bool_or(volguard.release(token)) FROM volguard.lock_status WHERE resource_id = 'later-0'").await?);
    it_goes_on(&original, &server, "volguard").await
}

#[tokio::test]
async fn tokens_grow_over_pg_upgrade() -> anyhow::Result<()> {
    upgraded(Profile::Debug, "").await
}

#[tokio::test]
async fn without_the_lineage_pg_upgrade_brings_tokens_back() {
    let violation = Violation::expected_in(upgraded(Profile::Sabotage, "Lineage").await);
    assert!(
        matches!(violation, Violation::TokenWentBack { .. }),
        "{violation}"
    );
}
