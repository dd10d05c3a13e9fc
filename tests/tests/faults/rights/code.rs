//! Attacks on crash rules by code that the rule would run: triggers, what foreign keys and rewrite rules lead to, names
//! that it finds, catalogs that it would change.

use anyhow::ensure;
use volguard_tests::scenario::{Site, Sql};

use super::stage::{Stage, refused, trespass};

const CLEAN_UP: &str = "SELECT sum(resources_cleaned) FROM volguard.cleanup()";

/// All functions are the owner's, or Postgres' own; their arguments are the attacker's.
pub async fn a_role_that_may_add_triggers_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    stage
        .manager
        .run("CREATE FUNCTION app.log() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE TG_ARGV[0]; RETURN NEW; END$$")
        .await?;
    let arguments = "EXECUTE FUNCTION app.log('SELECT lair.steal()')";
    let condition = "WHEN (ts_rewrite('a', 'SELECT ''a''::tsquery, ''b''::tsquery FROM lair.steal()') IS NOT NULL)
        EXECUTE FUNCTION suppress_redundant_updates_trigger()";
    for code in [arguments, condition] {
        stage.manager.run("GRANT TRIGGER ON app.volumes TO stranger").await?;
        let trigger = format!("CREATE TRIGGER spring BEFORE UPDATE ON app.volumes FOR EACH ROW {code}");
        stage.stranger.run(&trigger).await?;
        stage.rule_must_wait(&trigger).await?;
        let reason = site.psql("SELECT min(awaiting_reason) FROM volguard.workers")?;
        ensure!(reason.contains("REVOKE TRIGGER ON app.volumes FROM stranger"), "{reason}");
        // The trigger stays: the owner has been told.
        let mended = "REVOKE TRIGGER ON app.volumes FROM stranger; DROP TRIGGER spring ON app.volumes";
        stage.manager.run(mended).await?;
        ensure!(site.psql(CLEAN_UP)?.trim() == "1", "then it runs");
        stage.manager.run("UPDATE app.volumes SET status = 'creating' WHERE id = 'v1'").await?;
    }
    Ok(())
}

/// From Postgres 16 on a membership can give the privileges of a role without SET. Its member may add a trigger to the
/// table, as the owner may. But it is not the owner: it has not the owner's attributes.
///
/// The member is a role of this test alone: a membership is one in all databases of the server.
pub async fn a_member_without_set_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "CREATE ROLE confidant LOGIN PASSWORD 'confidant';
         GRANT manager TO confidant WITH INHERIT TRUE, SET FALSE;
         ALTER FUNCTION lair.steal() OWNER TO confidant;
         ALTER FUNCTION lair.spring() OWNER TO confidant",
    )?;
    let confidant = Sql::connect(&site.url_as("confidant")).await?;
    let trigger = "CREATE TRIGGER spring BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION lair.spring()";
    confidant.run(trigger).await?;
    stage.rule_must_wait("a trigger of a member without SET").await?;
    let reason = site.psql("SELECT min(awaiting_reason) FROM volguard.workers")?;
    ensure!(reason.contains("can't SET ROLE to it"), "{reason}");
    site.psql("GRANT manager TO confidant WITH SET TRUE")?;
    ensure!(site.psql(CLEAN_UP)?.trim() == "1", "with SET the member can be the owner, so it runs");
    Ok(())
}

/// The manager's tables have a key beside the id, which the stranger may refer to.
async fn with_hosts(site: &Site) -> anyhow::Result<Stage<'_>> {
    let stage = Stage::set(site).await?;
    let hosts = "ALTER TABLE app.volumes ADD COLUMN host text UNIQUE;
         UPDATE app.volumes SET host = 'node-1' WHERE id = 'v1';
         GRANT REFERENCES ON app.volumes TO stranger";
    stage.manager.run(hosts).await?;
    Ok(stage)
}

const MOVES: &str = r#"SELECT volguard.on_crash('volume', 'creating', '{"status": "error", "host": "node-2"}')"#;

/// An update that a foreign key passes on runs AFTER triggers with the rights of the first one.
fn trap(parent: &str) -> String {
    format!(
        "CREATE TABLE lair.children (host text REFERENCES {parent} (host) ON UPDATE CASCADE);
         INSERT INTO lair.children VALUES ('node-1');
         CREATE TRIGGER spring AFTER UPDATE ON lair.children FOR EACH ROW EXECUTE FUNCTION lair.spring()"
    )
}

pub async fn a_cascade_to_another_role_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = with_hosts(site).await?;
    stage.manager.run(MOVES).await?;
    stage.stranger.run(&trap("app.volumes")).await?;
    stage.rule_must_wait("a trigger behind a foreign key").await
}

/// The rule does not set the key; a trigger of the owner's does.
pub async fn a_trigger_that_may_set_the_key_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = with_hosts(site).await?;
    let moving = "CREATE FUNCTION app.move() RETURNS trigger LANGUAGE plpgsql
             AS $$BEGIN NEW.host := 'node-2'; RETURN NEW; END$$;
         CREATE TRIGGER move BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.move()";
    stage.manager.run(moving).await?;
    stage.stranger.run(&trap("app.volumes")).await?;
    stage.rule_must_wait("a trigger behind a foreign key, and one before it").await
}

/// The first foreign key leads to a table of the owner's.
pub async fn a_second_cascade_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = with_hosts(site).await?;
    let own = "CREATE TABLE app.mounts (host text UNIQUE REFERENCES app.volumes (host) ON UPDATE CASCADE);
         INSERT INTO app.mounts VALUES ('node-1'); GRANT REFERENCES ON app.mounts TO stranger";
    stage.manager.run(own).await?;
    stage.manager.run(MOVES).await?;
    stage.stranger.run(&trap("app.mounts")).await?;
    stage.rule_must_wait("a trigger behind two foreign keys").await
}

/// A foreign key to columns that the rule doesn't set passes nothing on: neither triggers behind it nor a lock matter.
pub async fn a_foreign_key_to_other_columns_stops_no_rule(site: &Site) -> anyhow::Result<()> {
    let stage = with_hosts(site).await?;
    stage.stranger.run(&trap("app.volumes")).await?;
    stage.stranger.run("BEGIN; LOCK TABLE lair.children").await?;
    let service = stage.crash(&stage.manager, "volume", "v1", "creating").await?;
    let (cleaned, _) = stage.clean_up(service)?;
    ensure!(cleaned == 1, "the rule runs");
    stage.nothing_was_taken("a trigger behind a foreign key")
}

/// A rewrite rule is its author's statement, but what it fires runs with the rights of the update.
pub async fn a_rewrite_rule_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let trap = "CREATE TABLE lair.log (id text); GRANT INSERT ON lair.log TO manager;
         CREATE TRIGGER spring AFTER INSERT ON lair.log FOR EACH ROW EXECUTE FUNCTION lair.spring()";
    stage.stranger.run(trap).await?;
    let rule = "CREATE RULE log AS ON UPDATE TO app.volumes DO ALSO INSERT INTO lair.log VALUES (NEW.id)";
    stage.manager.run(rule).await?;
    stage.rule_must_wait("a rewrite rule").await?;
    stage.manager.run("ALTER TABLE app.volumes DISABLE RULE log").await?;
    ensure!(site.psql(CLEAN_UP)?.trim() == "1", "then it runs");
    Ok(())
}

/// A role that can write volguard's tables, or create objects in a schema of the path, chooses what a name means.
pub async fn a_schema_of_another_role_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let marks = "CREATE FUNCTION app.mark() RETURNS text LANGUAGE sql AS $$ SELECT 'mark' $$;
         CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM mark(); RETURN NEW; END$$;
         CREATE TRIGGER touch BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.touch();
         SET search_path = app";
    stage.manager.run(marks).await?;
    let rule = r#"SELECT volguard.on_crash('volume', 'creating', '{"status": "error"}')"#;
    stage.manager.run(rule).await?;
    stage.stranger.run("CREATE FUNCTION lair.mark() RETURNS text LANGUAGE sql AS $$ SELECT lair.steal() $$").await?;
    site.psql("UPDATE volguard.crash_rules SET search_path = 'lair, app'")?;
    stage.rule_must_wait("a search_path with a schema of another role").await?;
    // The owner isn't let into it either.
    stage.manager.run("SET search_path = lair, app").await?;
    refused(&stage.manager, rule).await?;
    stage.manager.run("SET search_path = app; GRANT CREATE ON SCHEMA app TO PUBLIC").await?;
    refused(&stage.manager, rule).await?;
    stage.manager.run("REVOKE CREATE ON SCHEMA app FROM PUBLIC").await?;
    stage.manager.run(rule).await?;
    ensure!(site.psql(CLEAN_UP)?.trim() == "1", "then it runs");
    Ok(())
}

/// A role that can write volguard's tables must not own the database by that.
pub async fn a_rule_changes_no_catalog(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let service = stage.crash(&stage.manager, "backup", "app", "app").await?;
    site.psql(&format!(
        "INSERT INTO volguard.resources VALUES ('backup', 'pg_catalog.pg_namespace', 'nspname', 'nspname', 'name');
         INSERT INTO volguard.crash_rules SELECT 'backup', 'app', jsonb_build_object('nspowner', 'stranger'::regrole::oid::bigint),
             'pg_catalog.pg_namespace', nspowner::regrole::text, '' FROM pg_namespace WHERE nspname = 'pg_catalog';
         UPDATE volguard.services SET registered_by = current_user WHERE service_id = {service}"
    ))?;
    let (_, awaiting) = stage.clean_up(service)?;
    let owner = site.psql("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'app'")?;
    trespass("a rule for a system catalog", "manager", owner)?;
    ensure!(awaiting == 1, "the work waits");
    for table in ["pg_catalog.pg_namespace", "volguard.services", "information_schema.sql_features"] {
        let track = format!("SELECT volguard.track_resource('catalog', '{table}', 'nspname', 'nspowner')");
        let superuser = volguard_tests::scenario::Sql::connect(&site.server().url_of(site.database())).await?;
        refused(&superuser, &track).await?;
    }
    Ok(())
}

/// The type of a column runs code, when a superuser sets the rule.
pub async fn a_rule_is_read_as_its_owner(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql("SELECT volguard.grant_operator('stranger')")?;
    let table = "CREATE DOMAIN lair.mood AS text CHECK (lair.steal() IS NOT NULL);
         CREATE TABLE lair.moody (id text PRIMARY KEY, status lair.mood);
         SELECT volguard.track_resource('moody', 'lair.moody')";
    stage.stranger.run(table).await?;
    site.psql(r#"SELECT volguard.on_crash('moody', 'creating', '{"status": "error"}')"#)?;
    stage.nothing_was_taken("a domain of a hostile table, in a superuser's on_crash")
}
