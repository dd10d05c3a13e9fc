//! A hostile `search_path`: objects in front of Postgres' own names change nothing.
//!
//! The scenarios of other files, run as a role that has such a path in every session.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Route, Site, Sql, sqlstate};

const LEASE: Duration = Duration::from_secs(60);

/// The site of a role whose path catches every unqualified name.
fn hostile(route: Route) -> anyhow::Result<Site> {
    let site = Site::new(route)?;
    site.psql(include_str!("../../src/scenario/hostile.sql"))?;
    let database = site.psql("SELECT quote_ident(current_database())")?;
    site.psql(&format!(
        "ALTER ROLE manager IN DATABASE {database} SET search_path = evil, pg_temp, pg_catalog, public"
    ))?;
    Ok(site)
}

macro_rules! under_a_hostile_path {
    ($($name:ident => $scenario:path),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() -> anyhow::Result<()> {
            for route in [Route::Direct, Route::Pooled] {
                $scenario(&hostile(route)?).await?;
            }
            Ok(())
        })+
    };
}

under_a_hostile_path!(
    the_client_excludes => crate::exclusion::tasks_of_the_client,
    plain_sql_excludes => crate::exclusion::plain_connections,
    works_exclude => crate::indexes::two_works_on_one_resource,
    incarnations_replace_each_other => crate::indexes::registering_again,
    the_dead_do_nothing => crate::dead::a_dead_service_can_do_nothing,
    updates_are_fenced => crate::fencing::cleanup_passes_over_a_fenced_update,
    work_is_repaired => crate::killed::work_is_repaired_by_its_rule,
    strangers_do_nothing => crate::roles::a_stranger_can_do_nothing,
    members_do_everything => crate::roles::a_member_may_do_everything,
    the_line_moves => crate::waiting::the_line_is_served_in_order,
);

/// Temporary tables come before everything else unless the path says otherwise.
#[tokio::test]
async fn temporary_tables_catch_nothing() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let sql = site.sql().await?;
    for table in ["services", "workers", "clusters", "clock", "events", "place", "pg_class", "pg_roles", "pg_proc"] {
        sql.run(&format!("CREATE TEMPORARY TABLE {table} (nothing boolean)")).await?;
    }
    use_everything(&sql).await?;
    Ok(())
}

/// Plans are made once for a session, and made again when the path changes.
#[tokio::test]
async fn a_path_that_changes_within_the_session_catches_nothing() -> anyhow::Result<()> {
    let site = hostile(Route::Direct)?;
    let sql = site.sql().await?;
    for path in ["evil, pg_catalog", "pg_catalog", "public", "evil, pg_temp, pg_catalog"] {
        sql.run(&format!("SET search_path = {path}")).await?;
        use_everything(&sql).await.with_context(|| path)?;
    }
    Ok(())
}

/// Every function once, without a lasting effect.
async fn use_everything(sql: &Sql) -> anyhow::Result<()> {
    sql.run("DELETE FROM app.volumes; INSERT INTO app.volumes (id, status) VALUES ('v0', 'in-use')").await?;
    let dead = sql.register("dead", Duration::from_millis(100)).await?;
    let service = sql.register("a", LEASE).await?;
    let token = sql.acquire(service, "v0", LEASE).await?.context("free")?;
    let heir = sql.register("heir", LEASE).await?;
    let request = "'00000000-0000-0000-0000-000000000001'::pg_catalog.uuid";
    let claim = format!("(SELECT token FROM volguard.claim_cleanup({heir}))");
    let claim_again = format!("(SELECT token FROM volguard.claim_cleanup({heir}, request_id => {request}))");
    for call in [
        "volguard.track_resource('volume', 'app.volumes')".to_owned(),
        "volguard.on_crash('volume', 'extending', '{\"size\": {\"add\": [{\"column\": \"size\"}, 1]}}')".to_owned(),
        format!("volguard.heartbeat({service})"),
        format!("volguard.set_status({token}, 'extending')"),
        format!("volguard.assert_held({token})"),
        format!(
            "volguard.conditional_update('app.volumes', '{{\"id\": \"v0\"}}',
                 '{{\"size\": {{\"mul\": [{{\"column\": \"size\"}}, 2]}}, \"status\": null}}'::pg_catalog.jsonb OPERATOR(pg_catalog.-) 'status'::pg_catalog.text,
                 '{{\"status\": [\"in-use\", null], \"size\": {{\"not\": 7}}}}', fence => {token})"
        ),
        format!("pg_catalog.pg_sleep(0.1), volguard.cleanup(service_id => {dead})"),
        format!("volguard.reconcile({service}, ARRAY[{token}])"),
        format!("volguard.release_requests({service}, ARRAY[{request}])"),
        format!("volguard.release({token})"),
        format!("volguard.release_all(ARRAY[{token}])"),
        format!("volguard.force_release({token}, 'test')"),
        "volguard.reset_resource('volume', 'v0')".to_owned(),
        "volguard.cleanup()".to_owned(),
        "volguard.set_cluster_disabled('default', true, 'why'), volguard.set_cluster_disabled('default', false)".to_owned(),
        "volguard.on_crash('volume', 'extending', NULL)".to_owned(),
        format!("volguard.acquire({service}, 'untracked', 'u', status => 'copying')"),
        format!("volguard.deregister_service({service})"),
        format!("volguard.abandon_cleanup({claim})"),
        format!("{claim_again}, {claim_again}, volguard.release_requests({heir}, ARRAY[{request}])"),
        format!("volguard.finish_cleanup({claim})"),
    ] {
        sql.run(&format!("SELECT {call}")).await.with_context(|| call)?;
    }
    for view in ["lock_status", "service_status", "cluster_status", "waiters", "event_log"] {
        sql.run(&format!("SELECT * FROM volguard.{view}")).await?;
    }
    Ok(())
}

/// The trap works: it catches a function of the owner with unqualified names.
#[tokio::test]
async fn a_function_that_trusts_the_path_is_caught() -> anyhow::Result<()> {
    let site = hostile(Route::Direct)?;
    site.psql(
        "CREATE FUNCTION app.naive() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS
             'BEGIN RETURN (SELECT count(*) FROM volguard.services WHERE service_id = 1); END'",
    )?;
    let sql = site.sql().await?;
    sql.register("a", LEASE).await?;
    let caught = sql.run("SELECT app.naive()").await;
    assert_eq!(caught.map_err(|error| sqlstate(&error)), Err("EV111".to_owned()));
    Ok(())
}
