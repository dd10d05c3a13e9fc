//! Clusters belong to roles. What a role may do in those of others: nothing, and neither hold it up.

use std::time::Duration;

use volguard_tests::scenario::{Route, Site, Sql, Violation, sqlstate};

by_both_routes!(no_role_enters_the_cluster_of_another, an_identity_lives_once, names_forge_no_line);

const LEASE: &str = "lease => '1 hour'";

/// The answer of a statement, or its SQLSTATE.
async fn answer(sql: &Sql, statement: &str) -> String {
    match sql.text(statement).await {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => sqlstate(&error),
    }
}

async fn expect(sql: &Sql, act: &str, expected: &str) -> anyhow::Result<()> {
    let got = answer(sql, act).await;
    match got == expected {
        true => Ok(()),
        false => Err(Violation::Trespass { act: act.to_owned(), expected: expected.to_owned(), got }.into()),
    }
}

async fn no_role_enters_the_cluster_of_another(site: &Site) -> anyhow::Result<()> {
    let (sql, stranger) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    let service = sql.number(&format!("SELECT volguard.register_service('a', 'test', 'theirs', {LEASE})")).await?;
    expect(&stranger, "SELECT volguard.register_service('b', 'test', 'theirs')", "42501").await?;
    // The name of the host is the stranger's as well, in a cluster of its own or in the one of all.
    for cluster in ["'mine'", "NULL"] {
        let act = format!("SELECT volguard.register_service('a', 'test', {cluster}) > 0");
        expect(&stranger, &act, "t").await?;
    }
    for act in
        ["set_cluster_disabled('theirs', true)", "set_cluster_owner('theirs', 'stranger')", "remove_cluster('theirs')"]
    {
        expect(&stranger, &format!("SELECT volguard.{act}"), "42501").await?;
    }
    let alive = format!(
        "SELECT count(*) = 1 FROM volguard.service_status WHERE cluster = 'theirs' AND state = 'up' AND service_id = {}",
        service.unwrap_or(0)
    );
    expect(&sql, &alive, "t").await
}

#[tokio::test]
async fn without_owners_every_role_enters() -> anyhow::Result<()> {
    let site = Site::without("ClusterOwner")?;
    let violation = Violation::expected_in(no_role_enters_the_cluster_of_another(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

/// In all clusters of one owner there is one process of a name.
async fn an_identity_lives_once(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    for cluster in ["'one'", "'two'", "NULL", "'one'"] {
        sql.run(&format!("SELECT volguard.register_service('a', 'test', {cluster}, {LEASE})")).await?;
    }
    let alive = "SELECT string_agg(cluster, ' ') FROM volguard.service_status WHERE host = 'a' AND state <> 'fenced'";
    expect(&sql, alive, "one").await
}

#[tokio::test]
async fn without_the_fence_and_the_identity_several_live() -> anyhow::Result<()> {
    let site = Site::without("FenceEarlier")?;
    site.psql("DROP INDEX volguard.services_identity_key")?;
    let violation = Violation::expected_in(an_identity_lives_once(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

async fn names_forge_no_line(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let service = sql.register("a", Duration::from_secs(60)).await?;
    let forged = r"E'x\nLOG:  forged'";
    for act in [
        format!("volguard.register_service({forged}, 'test')"),
        format!("volguard.register_service('b', {forged})"),
        format!("volguard.register_service('b', 'test', {forged})"),
        format!("volguard.acquire({service}, {forged}, 'x')"),
        format!("volguard.acquire({service}, 'volume', {forged})"),
        format!("volguard.acquire({service}, 'volume', 'x', {forged})"),
        format!("volguard.acquire({service}, 'volume', 'x', status => {forged})"),
        format!("volguard.set_cluster_owner({forged}, 'manager')"),
        format!("volguard.fence_service({service}, {forged})"),
        format!("volguard.force_release(1, {forged})"),
        format!("volguard.reset_resource('volume', {forged})"),
        format!("volguard.cleanup(host => {forged})"),
    ] {
        expect(&sql, &format!("SELECT {act}"), "22023").await?;
    }
    let list = r#"[{"resource_type": "volume", "resource_id": "x\ny"}]"#;
    expect(&sql, &format!("SELECT volguard.acquire_all({service}, '{list}')"), "VG003").await
}

#[tokio::test]
async fn without_a_look_at_them_names_have_line_breaks() -> anyhow::Result<()> {
    let site = Site::without("ControlCharacters")?;
    let violation = Violation::expected_in(names_forge_no_line(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

/// A transaction that removes empty clusters, and is left open, keeps no other role out of its own.
async fn no_open_cleanup_keeps_a_cluster_closed(site: &Site) -> anyhow::Result<()> {
    let (sql, stranger) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    sql.run("SELECT volguard.register_service('a', 'test', 'empty')").await?;
    site.psql("DELETE FROM volguard.services")?;
    for call in ["cleanup", "auto_cleanup"] {
        stranger.run(&format!("BEGIN; SELECT volguard.{call}()")).await?;
        let registered = answer(&sql, "BEGIN; SELECT volguard.register_service('a', 'test', 'empty') > 0").await;
        sql.run("ROLLBACK").await?;
        if registered != "t" {
            return Err(Violation::Waiting("for the cleanup of another role, to register in one's own cluster").into());
        }
        stranger.run("ROLLBACK").await?;
    }
    // The cluster goes with a cleanup of its owner.
    sql.run("SELECT volguard.auto_cleanup()").await?;
    expect(&sql, "SELECT count(*) FROM volguard.cluster_status", "0").await
}

#[tokio::test]
async fn an_open_cleanup_keeps_no_cluster_closed() -> anyhow::Result<()> {
    no_open_cleanup_keeps_a_cluster_closed(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn an_open_cleanup_that_removes_the_clusters_of_all_does() -> anyhow::Result<()> {
    let site = Site::without("OwnEmptyClusters")?;
    let violation = Violation::expected_in(no_open_cleanup_keeps_a_cluster_closed(&site).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

/// As after a test of load, or a stretch of names that were made up for each process.
#[tokio::test]
async fn thousands_of_clusters_with_a_dead_service_each_go() -> anyhow::Result<()> {
    const MANY: usize = 9_000;
    let site = Site::new(Route::Direct)?;
    site.psql(&format!(
        "INSERT INTO volguard.clusters (name, owner) SELECT 'c' || i, 'manager' FROM generate_series(1, {MANY}) AS i;
         INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, heartbeat_at, fenced_at, registered_by, owner)
         SELECT i, 'c' || i, 'h' || i, 'test', '1 min', now() - interval '9 days', now() - interval '9 days', 'manager', 'manager'
         FROM generate_series(1, {MANY}) AS i"
    ))?;
    let sql = site.sql().await?;
    let alive = sql.number("SELECT volguard.register_service('a', 'test', 'c1')").await?;
    for _ in 0..MANY / 100 {
        sql.run("SELECT volguard.auto_cleanup()").await?;
        if sql.holds("SELECT count(*) = 1 FROM volguard.cluster_status").await? {
            break;
        }
    }
    assert_eq!(sql.number("SELECT count(*) FROM volguard.cluster_status").await?, Some(1));
    assert_eq!(sql.number("SELECT service_id FROM volguard.service_status").await?, alive);
    Ok(())
}
