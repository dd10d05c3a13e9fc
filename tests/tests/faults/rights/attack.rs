//! The attacks.

use anyhow::ensure;
use volguard_tests::scenario::{Site, Sql, sqlstate};

use super::stage::{Stage, refused, trespass};

pub async fn a_trigger_of_another_role_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    stage.manager.run("GRANT TRIGGER ON app.volumes TO stranger").await?;
    let trigger = "CREATE TRIGGER spring AFTER UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION lair.spring()";
    stage.stranger.run(trigger).await?;
    stage.manager.run("REVOKE TRIGGER ON app.volumes FROM stranger").await?;
    stage.rule_must_wait("a trigger on another's table").await?;
    // A trigger that is disabled stops nothing.
    stage.manager.run("ALTER TABLE app.volumes DISABLE TRIGGER spring").await?;
    ensure!(site.psql("SELECT sum(resources_cleaned) FROM volguard.cleanup()")?.trim() == "1", "then it runs");
    Ok(())
}

/// The function of the trigger is Postgres' own; its condition is not.
pub async fn the_condition_of_a_trigger_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    stage.manager.run("GRANT TRIGGER ON app.volumes TO stranger").await?;
    let trigger = "CREATE TRIGGER spring BEFORE UPDATE ON app.volumes FOR EACH ROW WHEN (lair.steal() = 'stolen')
                   EXECUTE FUNCTION suppress_redundant_updates_trigger()";
    stage.stranger.run(trigger).await?;
    stage.manager.run("REVOKE TRIGGER ON app.volumes FROM stranger").await?;
    stage.rule_must_wait("the condition of a trigger on another's table").await
}

/// The owner of a partition can add a constraint to it.
pub async fn a_partition_of_another_role_stops_the_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "SET ROLE manager;
         CREATE TABLE app.parted (id text, status text, part integer) PARTITION BY LIST (part);
         CREATE TABLE app.parted_1 PARTITION OF app.parted FOR VALUES IN (1);
         INSERT INTO app.parted VALUES ('v1', 'creating', 1);
         SELECT volguard.track_resource('parted', 'app.parted');
         SELECT volguard.on_crash('parted', 'creating', '{\"status\": \"error\"}');
         RESET ROLE;
         ALTER TABLE app.parted_1 OWNER TO stranger",
    )?;
    let constraint = "ALTER TABLE app.parted_1 ADD CHECK (lair.steal() IS NOT NULL)";
    stage.stranger.run(constraint).await?;
    let service = stage.crash(&stage.manager, "parted", "v1", "creating").await?;
    let (_, awaiting) = stage.clean_up(service)?;
    stage.nothing_was_taken(constraint)?;
    ensure!(awaiting == 1, "the work waits");
    Ok(())
}

pub async fn a_rule_does_not_run_as_the_cleaner(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql("SELECT volguard.grant_operator('stranger'); INSERT INTO lair.traps VALUES ('t1', 'creating')")?;
    let rule = "SELECT volguard.track_resource('trap', 'lair.traps');
                SELECT volguard.on_crash('trap', 'creating', '{\"status\": \"error\"}')";
    stage.stranger.run(rule).await?;
    let service = stage.crash(&stage.stranger, "trap", "t1", "creating").await?;
    let (cleaned, _) = stage.clean_up(service)?;
    stage.nothing_was_taken("a trigger of a hostile table, in a superuser's cleanup")?;
    ensure!(cleaned == 1, "the rule ran");
    Ok(())
}

pub async fn a_rule_stays_with_its_table(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let moved = "CREATE TABLE app.archive (LIKE app.volumes); INSERT INTO app.archive VALUES ('v1', 'creating', 1);
                 SELECT volguard.track_resource('volume', 'app.archive')";
    stage.manager.run(moved).await?;
    let service = stage.crash(&stage.manager, "volume", "v1", "creating").await?;
    let (_, awaiting) = stage.clean_up(service)?;
    stage.status_is("app.archive", "v1", "creating", "a rule that was made for another table")?;
    ensure!(awaiting == 1, "the work waits");
    // A role with the privilege confirms it.
    stage.manager.run("SELECT volguard.on_crash('volume', 'creating', '{\"status\": \"error\"}')").await?;
    ensure!(stage.clean_up(service)?.0 == 1, "then it runs");
    Ok(())
}

pub async fn a_table_that_was_given_away_suspends_its_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql("ALTER TABLE app.volumes OWNER TO stranger; GRANT SELECT, UPDATE ON app.volumes TO manager")?;
    stage.rule_must_wait("a rule of a table that has another owner now").await
}

pub async fn a_rule_needs_the_owner_of_the_table(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    // Every privilege on the table, and that of operators, but not the owner's.
    site.psql("SELECT volguard.grant_operator('stranger'); GRANT ALL ON app.volumes TO stranger")?;
    refused(&stage.stranger, "SELECT volguard.track_resource('mine', 'app.volumes')").await?;
    let rule = "SELECT volguard.on_crash('volume', 'available', '{\"status\": \"stolen\"}')";
    refused(&stage.stranger, rule).await?;
    refused(&stage.stranger, "SELECT volguard.on_crash('volume', 'creating', NULL)").await?;
    refused(&stage.stranger, "SELECT volguard.track_resource('volume', 'lair.traps')").await?;
    refused(&stage.stranger, "SELECT volguard.untrack_resource('volume')").await
}

/// In an empty table all work of a type would count as stale.
pub async fn a_type_in_use_is_not_taken_over(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql("SELECT volguard.grant_operator('stranger')")?;
    let service = stage.crash(&stage.manager, "backup", "b1", "copying").await?;
    let track = "GRANT UPDATE ON lair.traps TO PUBLIC; SELECT volguard.track_resource('backup', 'lair.traps')";
    let tracked = refused(&stage.stranger, track).await;
    stage.clean_up(service)?;
    let left = site.psql("SELECT count(*) FROM volguard.workers WHERE resource_type = 'backup'")?;
    trespass("tracking a type that others work on", "1", left)?;
    tracked
}

pub async fn work_needs_update_on_the_status(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let (stranger, manager) = (&stage.stranger, &stage.manager);
    // The manager has no lock: the row is free to be taken hostage.
    let service = stranger.number("SELECT volguard.register_service('doomed', 'test', 'lair')").await?;
    let service = service.expect("an id");
    let acquire = format!("SELECT volguard.acquire({service}, 'volume', 'v1', status => 'creating')");
    let taken = refused(stranger, &acquire).await;
    stage.end_the_lease(service)?;
    stage.clean_up(service)?;
    stage.status_is("app.volumes", "v1", "creating", "the crash of a service without a privilege on the table")?;
    taken?;
    let service = stranger.number("SELECT volguard.register_service('doomed', 'test', 'lair')").await?;
    let service = service.expect("an id");
    // A plain lock is free to all roles.
    let plain = format!("SELECT volguard.acquire({service}, 'volume', 'v2')");
    let plain = stranger.number(&plain).await?.expect("a token");
    let all = r#"[{"resource_type": "volume", "resource_id": "v1", "status": "creating"}]"#;
    let calls = [
        format!("SELECT volguard.set_status({plain}, 'creating')"),
        format!("SELECT * FROM volguard.acquire_all({service}, '{all}')"),
        format!("SELECT volguard.start_work({service}, 'volume', 'v1', '{{\"status\": \"creating\"}}')"),
    ];
    for call in &calls {
        refused(stranger, call).await?;
    }
    // A privilege on another column is not enough; that on the status is.
    manager.run("GRANT SELECT, UPDATE (size) ON app.volumes TO stranger").await?;
    for call in &calls {
        refused(stranger, call).await?;
    }
    manager.run("GRANT UPDATE (status) ON app.volumes TO stranger").await?;
    stranger.run(&calls[0]).await?;
    // Where policies decide which rows it may change, it has to go through the row.
    manager.run("ALTER TABLE app.volumes ENABLE ROW LEVEL SECURITY").await?;
    for call in &calls[..2] {
        refused(stranger, call).await?;
    }
    stranger.run(&format!("SELECT volguard.set_status({plain}, NULL)")).await?;
    let outcome = calls[2].replace("SELECT volguard", "SELECT outcome FROM volguard");
    ensure!(stranger.text(&outcome).await?.as_deref() == Some("not_found"), "the policies hide the row");
    manager.run("CREATE POLICY v1 ON app.volumes TO stranger USING (id = 'v1')").await?;
    ensure!(stranger.text(&outcome).await?.as_deref() == Some("updated"), "a policy shows it");
    Ok(())
}

pub async fn the_privilege_is_asked_again(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    stage.manager.run("GRANT UPDATE (status) ON app.volumes TO stranger").await?;
    let service = stage.crash(&stage.stranger, "volume", "v1", "creating").await?;
    stage.manager.run("REVOKE UPDATE (status) ON app.volumes FROM stranger").await?;
    let (_, awaiting) = stage.clean_up(service)?;
    stage.status_is("app.volumes", "v1", "creating", "the crash of a service that has lost its privilege")?;
    ensure!(awaiting == 1, "the work waits");
    stage.manager.run("GRANT UPDATE (status) ON app.volumes TO stranger").await?;
    ensure!(stage.clean_up(service)?.0 == 1, "with the privilege it is repaired");
    Ok(())
}

pub async fn a_superuser_is_not_lured(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql("SELECT volguard.grant_operator('stranger'); INSERT INTO lair.traps VALUES ('t1', 'creating')")?;
    stage.stranger.run("SELECT volguard.track_resource('trap', 'lair.traps')").await?;
    let superuser = Sql::connect(&site.server().url_of(site.database())).await?;
    let service = superuser.register("root", std::time::Duration::from_secs(60)).await?;
    let start = format!("SELECT volguard.start_work({service}, 'trap', 't1', '{{\"status\": \"deleting\"}}')");
    let started = refused(&superuser, &start).await;
    stage.nothing_was_taken("a superuser's start_work on a hostile table")?;
    started?;
    let token = superuser.number(&format!("SELECT volguard.acquire({service}, 'trap', 't1')")).await?;
    let token = token.expect("a token");
    let finish = format!("SELECT volguard.finish_work({token}, '{{\"status\": \"deleted\"}}')");
    refused(&superuser, &finish).await?;
    stage.nothing_was_taken("a superuser's finish_work on a hostile table")?;
    // Another table than that of the type is no way around.
    let other = finish.replace("}')", "}', target => 'app.volumes')");
    ensure!(superuser.run(&other).await.is_err_and(|error| sqlstate(&error) == "22023"));
    // Who names the table has decided.
    let named = finish.replace("}')", "}', target => 'lair.traps')");
    superuser.run(&named).await?;
    ensure!(site.psql("SELECT count(*) FROM app.loot")?.trim() == "1", "the trigger does try");
    Ok(())
}

pub async fn settings_of_the_cleaner_reach_no_rule(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let database = site.database();
    site.psql(&format!("ALTER DATABASE \"{database}\" SET app.region = 'eu'"))?;
    let note = "
        CREATE TABLE app.notes (number bigint GENERATED ALWAYS AS IDENTITY, note text);
        CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO app.notes (note) VALUES (concat_ws(' | ', timestamptz '2026-02-01 12:00:00 UTC', interval '-25 hours',
                '\\x61'::bytea, 1::float8 / 3, 'tenant ' || coalesce(current_setting('app.tenant', true), ''), current_setting('app.region', true)));
            RETURN NEW;
        END $$;
        CREATE TRIGGER note BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.note()";
    Sql::connect(&site.url()).await?.run(note).await?;
    let plain = "SET app.region = 'eu'";
    let hostile =
        "SET app.tenant = 'other'; SET app.region = 'mars'; SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo';
         SET IntervalStyle = 'iso_8601'; SET bytea_output = 'escape'; SET extra_float_digits = -10;
         SET standard_conforming_strings = off; SET session_replication_role = 'replica'";
    for settings in [plain, hostile] {
        let service = stage.crash(&stage.manager, "volume", "v1", "creating").await?;
        let left = "SELECT concat_ws(' | ', current_setting('app.tenant', true), current_setting('app.region'),
            current_setting('DateStyle'), current_setting('session_replication_role'))";
        let superuser = Sql::connect(&site.server().url_of(database)).await?;
        superuser.run(settings).await?;
        let before = superuser.text(left).await?;
        // The first call fences, the second one repairs.
        for _ in 0..2 {
            superuser.run(&format!("SELECT * FROM volguard.cleanup({service})")).await?;
        }
        ensure!(superuser.text(left).await? == before, "the session keeps its settings");
        stage.manager.run("UPDATE app.volumes SET status = 'creating' WHERE id = 'v1'").await?;
        // That update is not a rule's.
        stage.manager.run("DELETE FROM app.notes WHERE number % 2 = 0").await?;
    }
    let notes = site.psql("SELECT count(*), count(DISTINCT note) FROM app.notes")?;
    trespass("a cleanup with settings of its own", "2|1", notes)?;
    let note = site.psql("SELECT DISTINCT note FROM app.notes")?;
    trespass("a cleanup", "2026-02-01 12:00:00+00 | -25:00:00 | \\x61 | 0.3333333333333333 | tenant  | eu", note)
}

/// What a function of PL/pgSQL declares is looked up once a session, under the path of its first call. The attacker
/// makes the first call: in the session that cleans up, and in a rule that runs before.
pub async fn no_session_prepares_what_a_rule_runs(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql("SELECT volguard.grant_operator('stranger'); INSERT INTO lair.traps VALUES ('t1', 'creating')")?;
    let manager = "
        SET search_path = app;
        CREATE DOMAIN app.remark AS text;
        CREATE FUNCTION app.helper() RETURNS text LANGUAGE plpgsql AS $$DECLARE it remark := 'said'; BEGIN RETURN it; END$$;
        CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM app.helper(); RETURN NEW; END$$;
        CREATE TRIGGER note BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.note();
        SELECT volguard.on_crash('volume', 'creating', '{\"status\": \"error\"}')";
    stage.manager.run(manager).await?;
    let stranger = "
        CREATE DOMAIN lair.remark AS text CHECK (lair.steal() IS NOT NULL);
        CREATE FUNCTION lair.prepare() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM app.helper(); RETURN NEW; END$$;
        CREATE TRIGGER prepare BEFORE UPDATE ON lair.traps FOR EACH ROW EXECUTE FUNCTION lair.prepare();
        SET search_path = lair;
        SELECT volguard.track_resource('trap', 'lair.traps');
        SELECT volguard.on_crash('trap', 'creating', '{\"status\": \"error\"}');
        SELECT app.helper()";
    stage.stranger.run(stranger).await?;
    stage.crash(&stage.stranger, "trap", "t1", "creating").await?;
    stage.crash(&stage.manager, "volume", "v1", "creating").await?;
    stage.stranger.run("SELECT FROM volguard.cleanup()").await?;
    stage.nothing_was_taken("a function that the attacker has called first")?;
    stage.status_is("app.volumes", "v1", "error", "a cleanup")?;
    stage.status_is("lair.traps", "t1", "error", "a cleanup")
}
