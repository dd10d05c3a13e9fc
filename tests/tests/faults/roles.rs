//! Privileges, with roles that have no privilege but `grant_usage`.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Route, Site, Sql, Violation, sqlstate};

by_both_routes!(a_stranger_can_do_nothing, no_role_touches_the_tables_by_hand, a_member_may_do_everything,);

/// The calls that a service's own role may make, in an order in which each of them works.
fn what_the_owner_may(service: i64, token: i64) -> Vec<String> {
    [
        format!("volguard.heartbeat({service})"),
        format!("volguard.acquire({service}, 'volume', 'v1')"),
        format!("volguard.assert_held({token})"),
        format!("volguard.set_status({token}, 'extending')"),
        format!(
            "volguard.conditional_update('app.volumes', '{{\"id\": \"v0\"}}', '{{\"size\": 2}}', fence => {token})"
        ),
        format!("volguard.start_work({service}, 'volume', 'v2', '{{\"status\": \"extending\"}}')"),
        format!("volguard.release({token})"),
        format!("volguard.finish_work({token}, '{{\"status\": \"available\"}}')"),
        format!("volguard.release_all(ARRAY[{token}])"),
        format!("volguard.reconcile({service}, ARRAY[{token}])"),
        format!("volguard.release_requests({service}, '{{}}')"),
        format!("volguard.force_release({token}, 'because')"),
        "volguard.reset_resource('volume', 'v0')".to_owned(),
        // The same name again fences the service.
        "volguard.register_service('owner', 'test', 'owned')".to_owned(),
        format!("volguard.deregister_service({service})"),
    ]
    .map(|call| format!("SELECT {call}"))
    .to_vec()
}

/// A service of the role `manager`, and one of its locks.
async fn owner(site: &Site) -> anyhow::Result<(Sql, i64, i64)> {
    let sql = site.sql().await?;
    // A role that may change the table is still fenced by the token.
    sql.run(
        "INSERT INTO app.volumes (id, status) VALUES ('v0', 'in-use'), ('v2', 'available');
         SELECT volguard.track_resource('volume', 'app.volumes');
         GRANT USAGE ON SCHEMA app TO stranger;
         GRANT SELECT, UPDATE ON app.volumes TO stranger",
    )
    .await?;
    let register = "SELECT volguard.register_service('owner', 'test', 'owned', lease => '1 min')";
    let service = sql.number(register).await?.context("an id")?;
    let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    Ok((sql, service, token))
}

async fn refused(sql: &Sql, statement: &str) -> anyhow::Result<()> {
    let got = match sql.text(statement).await {
        Ok(text) => format!("{text:?}"),
        Err(error) => sqlstate(&error),
    };
    if got == "42501" {
        return Ok(());
    }
    Err(Violation::Trespass { act: statement.to_owned(), expected: "42501".to_owned(), got }.into())
}

const EVERYTHING: &str = "SELECT concat(
    (SELECT json_agg(s) FROM (SELECT service_id, heartbeat_at, fenced_at FROM volguard.service_status) AS s),
    (SELECT json_agg(l) FROM (SELECT token, status, updated_at FROM volguard.lock_status) AS l),
    (SELECT json_agg(v) FROM app.volumes AS v))";

pub async fn a_stranger_can_do_nothing(site: &Site) -> anyhow::Result<()> {
    let (sql, service, token) = owner(site).await?;
    let before = sql.text(EVERYTHING).await?;
    let stranger = Sql::connect(&site.url_as("stranger")).await?;
    for statement in what_the_owner_may(service, token) {
        refused(&stranger, &statement).await?;
    }
    assert_eq!(sql.text(EVERYTHING).await?, before);
    Ok(())
}

/// The same statements work for a role that may run them, so they were not refused for another reason.
pub async fn a_member_may_do_everything(site: &Site) -> anyhow::Result<()> {
    let member = format!("member_{}", uuid::Uuid::new_v4().simple());
    site.psql(&format!("CREATE ROLE {member} LOGIN PASSWORD '{member}' IN ROLE manager"))?;
    let (_, service, token) = owner(site).await?;
    let sql = Sql::connect(&site.url_as(&member)).await?;
    for statement in what_the_owner_may(service, token) {
        match sql.run(&statement).await {
            // The new incarnation has fenced it.
            Err(error) if statement.contains("deregister") => assert_eq!(sqlstate(&error), "VG001"),
            result => result.with_context(|| statement)?,
        }
    }
    Ok(())
}

/// Membership is a guard that can be granted, so this is the guard removed.
#[tokio::test]
async fn a_stranger_who_becomes_a_member_is_none() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    // Roles belong to all databases of the server, so this test has its own.
    let name = format!("friend_{}", uuid::Uuid::new_v4().simple());
    site.psql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{name}' IN ROLE manager"))?;
    let (_, service, _) = owner(&site).await?;
    let friend = Sql::connect(&site.url_as(&name)).await?;
    let refusal = refused(&friend, &format!("SELECT volguard.heartbeat({service})")).await;
    assert!(matches!(Violation::expected_in(refusal), Violation::Trespass { .. }));
    Ok(())
}

async fn no_role_touches_the_tables_by_hand(site: &Site) -> anyhow::Result<()> {
    let (sql, ..) = owner(site).await?;
    assert!(!sql.holds("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").await?);
    for table in ["clusters", "services", "workers", "resources", "crash_rules", "events"] {
        for statement in [
            format!("SELECT * FROM volguard.{table}"),
            format!("DELETE FROM volguard.{table}"),
            format!("TRUNCATE volguard.{table} CASCADE"),
            format!("INSERT INTO volguard.{table} DEFAULT VALUES"),
        ] {
            refused(&sql, &statement).await?;
        }
    }
    refused(&sql, "UPDATE volguard.services SET fenced_at = NULL").await?;
    refused(&sql, "SELECT nextval('volguard.clock')").await?;
    refused(&sql, "SELECT setval('volguard.clock', 1)").await?;
    refused(&sql, "SELECT setval('volguard.place', 1)").await
}

#[tokio::test]
async fn no_role_may_do_anything_without_grant_usage() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let outsider = format!("outsider_{}", uuid::Uuid::new_v4().simple());
    site.psql(&format!("CREATE ROLE {outsider} LOGIN PASSWORD '{outsider}'"))?;
    let sql = Sql::connect(&site.url_as(&outsider)).await?;
    refused(&sql, "SELECT volguard.register_service('a', 'b')").await?;
    refused(&sql, "SELECT * FROM volguard.lock_status").await?;
    // The names of the functions are not enough either.
    site.psql(&format!("GRANT USAGE ON SCHEMA volguard TO {outsider}"))?;
    refused(&sql, "SELECT volguard.register_service('a', 'b')").await?;
    refused(&sql, "SELECT * FROM volguard.cleanup()").await?;
    refused(&sql, "SELECT * FROM volguard.lock_status").await
}
