//! The record of what was done: no role can erase it.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Route, Site, Sql, Violation};

const LEASE: Duration = Duration::from_secs(60);

/// Registering the same name over and over leaves an event each time.
async fn flood(stranger: &Sql, how: &str) -> anyhow::Result<()> {
    stranger
        .run(&format!(
            "SET client_min_messages = error; BEGIN;
             SELECT volguard.register_service('flood', 'test') FROM generate_series(1, 500); {how}"
        ))
        .await?;
    Ok(())
}

async fn kinds(sql: &Sql) -> anyhow::Result<String> {
    let kinds = "SELECT string_agg(concat_ws(' ', kind, details->>'by'), ', ' ORDER BY event_id) FROM volguard.event_log WHERE role <> 'stranger'";
    Ok(sql.text(kinds).await?.unwrap_or_default())
}

/// What an operator did, and what a superuser released for others, is there until it is old.
async fn a_flood_erases_no_act_of_an_operator(site: &Site) -> anyhow::Result<()> {
    let (sql, stranger) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    let service = sql.register("a", LEASE).await?;
    let take = async |key: &str| sql.acquire(service, key, Duration::ZERO).await?.context("free");
    let (forced, released) = (take("v0").await?, take("v1").await?);
    take("v2").await?;
    sql.run(&format!(
        "SELECT volguard.force_release({forced}, 'why'); SELECT volguard.reset_resource('volume', 'v2');
         SELECT volguard.track_resource('volume', 'app.volumes');
         SELECT volguard.acquire({service}, 'volume', 'gone', status => 'extending')"
    ))
    .await?;
    sql.run("SELECT volguard.repair('volume', 'gone')").await?;
    sql.run("SELECT volguard.set_cluster_owner('theirs', 'manager')").await?;
    site.psql(&format!("SELECT volguard.release({released})"))?;
    sql.run(&format!("SELECT volguard.fence_service({service}, 'why')")).await?;
    sql.run("SELECT volguard.remove_cluster('theirs')").await?;
    let before = kinds(&sql).await?;
    let expected = "forced, reset, repaired, owner_changed, released release, fenced fence_service, cluster_removed";
    if before != expected {
        return Err(Violation::Forgotten(format!("recorded: {before}")).into());
    }

    site.psql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET volguard.max_events = 10', current_database()); END $$",
    )?;
    let (sql, stranger_again) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    drop(stranger);
    flood(&stranger_again, "COMMIT").await?;
    stranger_again.run("SELECT volguard.cleanup()").await?;
    assert!(sql.holds("SELECT count(*) BETWEEN 10 AND 150 FROM volguard.event_log WHERE role = 'stranger'").await?);
    match kinds(&sql).await? {
        after if after == before => Ok(()),
        after => Err(Violation::Forgotten(format!("of {before} there is left: {after}")).into()),
    }
}

#[tokio::test]
async fn what_operators_did_outlives_a_flood_of_events() -> anyhow::Result<()> {
    a_flood_erases_no_act_of_an_operator(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_mark_a_flood_erases_it() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_flood_erases_no_act_of_an_operator(&Site::without("KeptByAge")?).await);
    assert!(matches!(&violation, Violation::Forgotten(what) if what.contains("left")), "{violation}");
    Ok(())
}

#[tokio::test]
async fn without_the_look_at_the_right_a_superuser_leaves_no_trace() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_flood_erases_no_act_of_an_operator(&Site::without("Foreign")?).await);
    assert!(matches!(&violation, Violation::Forgotten(what) if what.contains("recorded")), "{violation}");
    Ok(())
}

/// Ids that rolled-back transactions have used up count for nothing.
#[tokio::test]
async fn what_was_rolled_back_erases_nothing() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    site.psql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET volguard.max_events = 10', current_database()); END $$",
    )?;
    let (sql, stranger) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    sql.register("a", LEASE).await?;
    sql.run("SET client_min_messages = error").await?;
    for _ in 0..3 {
        sql.register("a", LEASE).await?;
    }
    let before = kinds(&sql).await?;
    for _ in 0..3 {
        flood(&stranger, "ROLLBACK").await?;
        stranger.run("SELECT volguard.cleanup()").await?;
    }
    assert_eq!(kinds(&sql).await?, before);
    assert_eq!(before.matches("fenced").count(), 3);
    Ok(())
}

/// Names of roles may have line breaks. A line of the log has none.
async fn an_event_is_one_line_of_the_log(site: &Site) -> anyhow::Result<()> {
    let name = format!("forger {}\nLOG:  volguard: forged", uuid::Uuid::new_v4().simple());
    site.psql(&format!(
        "CREATE ROLE \"{name}\" SUPERUSER; SELECT volguard.set_cluster_owner('logged', 'manager'); SET ROLE \"{name}\";
         SELECT volguard.set_cluster_disabled('logged', true, 'why')"
    ))?;
    let log = std::fs::read_to_string(site.server().log())?;
    let line = log.lines().find(|line| line.contains("disabled: cluster logged") && line.contains(&name[..39]));
    match line.context("logged")?.contains(r"\nLOG:  volguard: forged: {") {
        true => Ok(()),
        false => Err(Violation::Trespass {
            act: "a role with a line break".to_owned(),
            expected: "one line".to_owned(),
            got: "two".to_owned(),
        }
        .into()),
    }
}

#[tokio::test]
async fn a_line_of_the_log_has_no_line_breaks() -> anyhow::Result<()> {
    an_event_is_one_line_of_the_log(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_escapes_a_line_of_the_log_is_forged() -> anyhow::Result<()> {
    let violation = Violation::expected_in(an_event_is_one_line_of_the_log(&Site::without("OneLine")?).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}
