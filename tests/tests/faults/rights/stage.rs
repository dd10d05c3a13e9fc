//! The scene of the attacks: the manager's table and rule, and the attacker's traps.

use anyhow::ensure;
use volguard_tests::scenario::{Site, Sql, Violation, sqlstate};

/// What an attacker must not get: a row in a table of the manager. The attacker's code tries to insert one.
const STAGE: &str = "
    SET ROLE manager;
    CREATE TABLE app.loot (taken_as text);
    INSERT INTO app.volumes VALUES ('v1', 'creating'), ('v2', 'available');
    SELECT volguard.track_resource('volume', 'app.volumes');
    SELECT volguard.on_crash('volume', 'creating', '{\"status\": \"error\"}');
    GRANT USAGE ON SCHEMA app TO stranger;
    RESET ROLE;
    CREATE SCHEMA lair AUTHORIZATION stranger;
    GRANT USAGE ON SCHEMA lair TO PUBLIC;
    SET ROLE stranger;
    CREATE FUNCTION lair.steal() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO app.loot VALUES (current_user);
        RETURN 'stolen';
    EXCEPTION WHEN insufficient_privilege THEN
        RETURN 'nothing';
    END $$;
    CREATE FUNCTION lair.spring() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM lair.steal(); RETURN NEW; END$$;
    CREATE TABLE lair.traps (id text PRIMARY KEY, status text);
    CREATE TRIGGER spring BEFORE UPDATE ON lair.traps FOR EACH ROW EXECUTE FUNCTION lair.spring();
    RESET ROLE";

pub struct Stage<'s> {
    site: &'s Site,
    pub manager: Sql,
    pub stranger: Sql,
}

impl<'s> Stage<'s> {
    pub async fn set(site: &'s Site) -> anyhow::Result<Stage<'s>> {
        site.psql(STAGE)?;
        let stranger = Sql::connect(&site.url_as("stranger")).await?;
        Ok(Stage { site, manager: site.sql().await?, stranger })
    }

    /// A service of the role dies with work on a resource.
    pub async fn crash(&self, sql: &Sql, resource_type: &str, id: &str, status: &str) -> anyhow::Result<i64> {
        let service = sql.number("SELECT volguard.register_service('doomed', 'test', current_user::text)").await?;
        let service = service.expect("an id");
        let work =
            format!("SELECT volguard.acquire({service}, '{resource_type}', '{id}', status => '{status}') IS NOT NULL");
        ensure!(sql.holds(&work).await?, "the slot is free");
        self.end_the_lease(service)?;
        // What is fenced is repaired by the next call.
        self.site.psql(&format!("SELECT volguard.fence_service({service}, 'a test')"))?;
        Ok(service)
    }

    pub fn end_the_lease(&self, service: i64) -> anyhow::Result<()> {
        let late = format!(
            "UPDATE volguard.services SET heartbeat_at = heartbeat_at - interval '1 hour' WHERE service_id = {service}"
        );
        self.site.psql(&late)?;
        Ok(())
    }

    /// A superuser cleans up: one call fences, the next repairs. Returns how much work was repaired, and how much
    /// waits.
    pub fn clean_up(&self, service: i64) -> anyhow::Result<(i64, i64)> {
        let cleanup = format!(
            "SET statement_timeout = '60 s';
             SELECT coalesce(sum(resources_cleaned), 0), coalesce(sum(awaiting), 0) FROM volguard.cleanup({service})"
        );
        let (mut cleaned, mut awaiting) = (0, 0);
        for _ in 0..2 {
            let answer = self.site.psql(&cleanup)?;
            let (repaired, waits) = answer.trim().split_once('|').expect("two columns");
            cleaned += repaired.parse::<i64>()?;
            awaiting = waits.parse()?;
        }
        Ok((cleaned, awaiting))
    }

    /// The manager's service dies over `v1`; the rule must not run, and the attacker's code get nothing.
    pub async fn rule_must_wait(&self, act: &str) -> anyhow::Result<()> {
        let service = self.crash(&self.manager, "volume", "v1", "creating").await?;
        let (_, awaiting) = self.clean_up(service)?;
        self.nothing_was_taken(act)?;
        self.status_is("app.volumes", "v1", "creating", act)?;
        ensure!(awaiting == 1, "the work waits");
        Ok(())
    }

    pub fn nothing_was_taken(&self, act: &str) -> anyhow::Result<()> {
        trespass(act, "nothing", self.site.psql("SELECT coalesce(min(taken_as), 'nothing') FROM app.loot")?)
    }

    pub fn status_is(&self, table: &str, id: &str, status: &str, act: &str) -> anyhow::Result<()> {
        trespass(act, status, self.site.psql(&format!("SELECT status FROM {table} WHERE id = '{id}'"))?)
    }
}

pub fn trespass(act: &str, expected: &str, got: String) -> anyhow::Result<()> {
    let got = got.trim().to_owned();
    if got == expected {
        return Ok(());
    }
    Err(Violation::Trespass { act: act.to_owned(), expected: expected.to_owned(), got }.into())
}

/// The statement must be refused for lack of a privilege.
pub async fn refused(sql: &Sql, statement: &str) -> anyhow::Result<()> {
    let got = match sql.text(statement).await {
        Ok(text) => format!("{text:?}"),
        Err(error) => sqlstate(&error),
    };
    trespass(statement, "42501", got)
}
