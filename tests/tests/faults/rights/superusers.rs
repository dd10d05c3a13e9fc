//! Attacks on superusers, who start and finish work on tables where other roles have put code.

use std::time::Duration;

use anyhow::{Context, ensure};
use volguard_tests::scenario::{Site, Sql};

use super::stage::{Stage, refused};

async fn superuser(site: &Site) -> anyhow::Result<(Sql, i64)> {
    let superuser = Sql::connect(&site.server().url_of(site.database())).await?;
    let service = superuser.register("root", Duration::from_secs(60)).await?;
    Ok((superuser, service))
}

/// A superuser starts work on the resource; it must be refused, and nothing be taken.
async fn lure(stage: &Stage<'_>, site: &Site, id: &str, act: &str) -> anyhow::Result<()> {
    let (superuser, service) = superuser(site).await?;
    let start = format!(r#"SELECT volguard.start_work({service}, 'root', '{id}', '{{"status": "deleting"}}')"#);
    let started = refused(&superuser, &start).await;
    stage.nothing_was_taken(act)?;
    started?;
    // Naming the table is a decision.
    superuser.run(&start.replace("}')", "}', target => 'public.volumes')")).await?;
    ensure!(site.psql("SELECT count(*) FROM app.loot")?.trim() == "1", "the trap is armed");
    Ok(())
}

pub async fn a_partition_lures_no_superuser(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "CREATE TABLE public.volumes (id text PRIMARY KEY, status text) PARTITION BY LIST (id);
         CREATE TABLE public.one PARTITION OF public.volumes FOR VALUES IN ('v1');
         INSERT INTO public.volumes VALUES ('v1', 'available');
         ALTER TABLE public.one OWNER TO stranger;
         SELECT volguard.track_resource('root', 'public.volumes')",
    )?;
    let trap = "CREATE TRIGGER spring BEFORE UPDATE ON public.one FOR EACH ROW EXECUTE FUNCTION lair.spring()";
    stage.stranger.run(trap).await?;
    lure(&stage, site, "v1", "a superuser's start_work on a partition of another role").await
}

/// The foreign key's check reads the partition with the rights of the table's owner.
pub async fn a_lookup_lures_no_superuser(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "CREATE TABLE public.statuses (name text PRIMARY KEY) PARTITION BY LIST (name);
         CREATE TABLE public.one PARTITION OF public.statuses DEFAULT;
         INSERT INTO public.statuses VALUES ('available'), ('deleting');
         CREATE TABLE public.volumes (id text PRIMARY KEY, status text REFERENCES public.statuses);
         INSERT INTO public.volumes VALUES ('v1', 'available');
         ALTER TABLE public.one OWNER TO stranger;
         SELECT volguard.track_resource('root', 'public.volumes')",
    )?;
    stage
        .stranger
        .run(
            "CREATE FUNCTION lair.immutable() RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lair.steal(); END';
             ALTER TABLE public.one ADD CHECK (lair.immutable() IS NOT NULL)",
        )
        .await?;
    lure(&stage, site, "v1", "a superuser's start_work on a table that refers to a partition of another role").await
}

pub async fn a_trigger_lures_no_superuser(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "CREATE TABLE public.volumes (id text PRIMARY KEY, status text);
         INSERT INTO public.volumes VALUES ('v1', 'available');
         GRANT TRIGGER ON public.volumes TO stranger;
         SELECT volguard.track_resource('root', 'public.volumes')",
    )?;
    let trap = "CREATE TRIGGER spring BEFORE UPDATE ON public.volumes FOR EACH ROW EXECUTE FUNCTION lair.spring()";
    stage.stranger.run(trap).await?;
    lure(&stage, site, "v1", "a superuser's start_work on a table with a trigger of another role").await
}

/// The foreign key is committed while the superuser's call waits for a lock that its making holds.
pub async fn a_foreign_key_in_the_making_lures_no_superuser(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "CREATE TABLE public.volumes (id text PRIMARY KEY, status text UNIQUE);
         INSERT INTO public.volumes VALUES ('v1', 'creating');
         CREATE TABLE public.statuses (status text UNIQUE REFERENCES public.volumes (status) ON UPDATE CASCADE);
         INSERT INTO public.statuses VALUES ('creating');
         GRANT REFERENCES ON public.statuses TO stranger;
         SELECT volguard.track_resource('root', 'public.volumes')",
    )?;
    let (superuser, service) = superuser(site).await?;
    let token = superuser.number(&format!("SELECT volguard.acquire({service}, 'root', 'v1')")).await?;
    let finish = format!(r#"SELECT volguard.finish_work({}, '{{"status": "available"}}')"#, token.expect("a token"));
    let trap = "BEGIN;
         CREATE TABLE lair.statuses (status text REFERENCES public.statuses (status) ON UPDATE CASCADE);
         CREATE TRIGGER spring AFTER UPDATE ON lair.statuses FOR EACH ROW EXECUTE FUNCTION lair.spring();
         INSERT INTO lair.statuses VALUES ('creating')";
    stage.stranger.run(trap).await?;
    let observer = site.observer().await?;
    let finishing = tokio::spawn(async move { refused(&superuser, &finish).await });
    observer.until_queued(1).await?;
    stage.stranger.run("COMMIT").await?;
    let finished = finishing.await?;
    stage.nothing_was_taken("a superuser's finish_work that met a new foreign key")?;
    finished
}

/// A member becomes the superuser by SET ROLE, which a trigger can do for it.
pub async fn a_member_of_a_superuser_is_not_lured(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    let member = format!("member of {}", site.database());
    let root = site.psql("SELECT quote_ident(current_user)")?;
    let root = root.trim();
    site.psql(&format!(
        "SELECT volguard.grant_operator('stranger'); INSERT INTO lair.traps VALUES ('t1', 'creating');
         CREATE ROLE \"{member}\" NOINHERIT; GRANT {root} TO \"{member}\"; SELECT volguard.grant_usage('{member}');
         GRANT SELECT, UPDATE ON lair.traps TO \"{member}\""
    ))?;
    let trap = format!(
        "CREATE FUNCTION lair.climb() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN SET ROLE {root}; PERFORM lair.steal(); RETURN NEW; END$$;
         CREATE TRIGGER climb BEFORE UPDATE ON lair.traps FOR EACH ROW EXECUTE FUNCTION lair.climb();
         SELECT volguard.track_resource('trap', 'lair.traps')"
    );
    stage.stranger.run(&trap).await?;
    let session = Sql::connect(&site.server().url_of(site.database())).await?;
    session.run(&format!("SET SESSION AUTHORIZATION \"{member}\"")).await?;
    let service = session.register("member", Duration::from_secs(60)).await?;
    let start = format!(r#"SELECT volguard.start_work({service}, 'trap', 't1', '{{"status": "deleting"}}')"#);
    let started = refused(&session, &start).await;
    stage.nothing_was_taken("start_work of a member of a superuser")?;
    started
}

/// The owner of a hostile table submits work on it, for a superuser to cancel, to take, and to pass on.
pub async fn submitted_work_lures_no_superuser(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::set(site).await?;
    site.psql(
        "SELECT volguard.grant_operator('stranger');
         INSERT INTO lair.traps SELECT 't' || n, 'available' FROM generate_series(1, 3) AS n",
    )?;
    stage.stranger.run("SELECT volguard.track_resource('trap', 'lair.traps')").await?;
    let submit = |id: &str| {
        format!(r#"SELECT token FROM volguard.submit_work('default', 'trap', '{id}', '{{"status": "creating"}}')"#)
    };
    // The cluster begins with its first service.
    let (superuser, service) = superuser(site).await?;
    let work = stage.stranger.number(&submit("t1")).await?.context("submitted")?;
    let cancel = format!(r#"SELECT volguard.cancel_work({work}, '{{"status": "available"}}')"#);
    // To take work runs no code of its table.
    let next = format!("SELECT token FROM volguard.next_work({service})");
    for act in [submit("t2"), cancel] {
        let got = refused(&superuser, &act).await;
        stage.nothing_was_taken(&act)?;
        got?;
    }
    let token = superuser.number(&next).await?.context("work")?;
    let pass = format!(r#"SELECT volguard.pass_work({token}, 'next', changes => '{{"status": "placed"}}')"#);
    let got = refused(&superuser, &pass).await;
    stage.nothing_was_taken("next_work and pass_work of a superuser")?;
    got?;
    superuser.run(&submit("t3").replace("}')", "}', target => 'lair.traps')")).await?;
    ensure!(site.psql("SELECT count(*) FROM app.loot")?.trim() == "1", "the trap is armed");
    Ok(())
}
