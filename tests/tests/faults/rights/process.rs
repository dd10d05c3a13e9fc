//! Attacks on the process that runs crash rules, which may do anything.

use anyhow::ensure;
use volguard_tests::scenario::Site;

use super::stage::{Stage, trespass};

/// A query of a table runs what the constraints of its partitions call, also where no rule changes anything.
pub async fn a_look_without_a_rule_runs_no_code_of_a_partition(site: &Site) -> anyhow::Result<()> {
    for (kind, table, part) in [
        ("parted", "(id text, status text) PARTITION BY LIST (id)", "PARTITION OF app.parted FOR VALUES IN ('v1')"),
        ("parent", "(id text, status text)", "() INHERITS (app.parent)"),
    ] {
        let stage = Stage::set(site).await?;
        site.psql(&format!(
            "SET ROLE manager;
             CREATE TABLE app.{kind} {table};
             CREATE TABLE app.{kind}_1 {part};
             INSERT INTO app.{kind} VALUES ('v1', 'creating');
             SELECT volguard.track_resource('{kind}', 'app.{kind}');
             RESET ROLE;
             ALTER TABLE app.{kind}_1 OWNER TO stranger"
        ))?;
        let constraint = format!(
            "CREATE FUNCTION lair.immutable() RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lair.steal(); END';
             ALTER TABLE app.{kind}_1 ADD CHECK (lair.immutable() IS NOT NULL)"
        );
        stage.stranger.run(&constraint).await?;
        let service = stage.crash(&stage.manager, kind, "v1", "creating").await?;
        let (_, awaiting) = stage.clean_up(service)?;
        stage.nothing_was_taken(&constraint)?;
        ensure!(awaiting == 1, "the work waits");
        site.psql(
            "DROP SCHEMA lair CASCADE; DROP TABLE app.loot; DELETE FROM app.volumes; DELETE FROM volguard.resources",
        )?;
    }
    Ok(())
}

/// So does the check of a foreign key, in the table that it refers to.
pub async fn a_partition_that_a_foreign_key_reads_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "SET ROLE manager;
         CREATE TABLE app.statuses (name text PRIMARY KEY) PARTITION BY LIST (name);
         CREATE TABLE app.statuses_1 PARTITION OF app.statuses DEFAULT;
         INSERT INTO app.statuses SELECT DISTINCT status FROM app.volumes UNION SELECT 'error';
         ALTER TABLE app.volumes ADD FOREIGN KEY (status) REFERENCES app.statuses;
         RESET ROLE;
         ALTER TABLE app.statuses_1 OWNER TO stranger",
    )?;
    stage.stranger.run(
        "CREATE FUNCTION lair.immutable() RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lair.steal(); END';
         ALTER TABLE app.statuses_1 ADD CHECK (lair.immutable() IS NOT NULL)",
    ).await?;
    // What adding the constraint ran was the stranger's own.
    stage.rule_must_wait("a constraint in a partition of a table that a foreign key refers to").await
}

/// Functions with the rights of others ask `session_user` who calls.
pub async fn the_session_is_the_owners(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    stage
        .manager
        .run(
            "CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
                 INSERT INTO app.loot VALUES (format('%s %s %s', session_user, current_user, current_setting('is_superuser')));
                 RETURN NEW;
             END$$;
             CREATE TRIGGER tell BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.tell()",
        )
        .await?;
    let service = stage.crash(&stage.manager, "volume", "v1", "creating").await?;
    ensure!(stage.clean_up(service)? == (1, 0), "the rule runs");
    trespass("a session of the process", "manager manager off", site.psql("SELECT taken_as FROM app.loot")?)
}
