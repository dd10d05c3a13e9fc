//! A dead service stays dead.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Route, Site, Sql, Violation, acquire, sqlstate};

use crate::fencing::{Doomed, fenced_update};

const LONG: Duration = Duration::from_secs(60);

by_both_routes!(a_dead_service_can_do_nothing);

/// The calls that a service may not make any more after it was cleaned up, and the answer to each.
pub fn what_the_dead_may_not(service: i64, token: i64) -> Vec<(String, &'static str)> {
    let acquire = acquire(service, "elsewhere", Duration::ZERO);
    vec![
        (format!("SELECT volguard.heartbeat({service})"), "VG001"),
        (acquire, "VG001"),
        (format!("SELECT volguard.reconcile({service}, '{{}}')"), "VG001"),
        (format!("SELECT volguard.release_requests({service}, '{{}}')"), "VG001"),
        (format!("SELECT volguard.deregister_service({service})"), "VG001"),
        (format!("SELECT volguard.assert_held({token})"), "VG002"),
        (format!("SELECT volguard.set_status({token}, 'extending')"), "VG002"),
        (fenced_update(token), "fenced"),
        (format!("SELECT volguard.start_work({service}, 'volume', 'v1', '{{\"status\": \"extending\"}}')"), "VG001"),
        (format!("SELECT outcome FROM volguard.finish_work({token}, '{{\"status\": \"available\"}}')"), "fenced"),
        (format!("SELECT volguard.release({token})"), "f"),
        (format!("SELECT volguard.release_all(ARRAY[{token}])"), "0"),
    ]
}

/// A volume for work to be started on.
pub const TRACKED: &str = "
    INSERT INTO app.volumes (id, status) VALUES ('v1', 'available');
    SELECT volguard.track_resource('volume', 'app.volumes');";

/// Everything that a dead service could change.
pub const STATE: &str = "SELECT concat(
    (SELECT json_agg(l) FROM (SELECT token, service_id, resource_id, status FROM volguard.lock_status) AS l),
    (SELECT json_agg(v) FROM app.volumes AS v))";

pub async fn answers(sql: &Sql, statement: &str, expected: &str) -> anyhow::Result<()> {
    let got = match sql.text(statement).await {
        Ok(text) => text.unwrap_or_else(|| "null".to_owned()),
        Err(error) => sqlstate(&error),
    };
    if got == expected {
        return Ok(());
    }
    Err(Violation::Trespass { act: statement.to_owned(), expected: expected.to_owned(), got }.into())
}

/// Its lock has gone to another service when it comes back.
pub async fn a_dead_service_can_do_nothing(site: &Site) -> anyhow::Result<()> {
    let zombie = Doomed::start(site).await?;
    site.observer().await?.end_lease(zombie.service).await?;
    let heir = site.sql().await?;
    heir.run(TRACKED).await?;
    let service = heir.register("heir", LONG).await?;
    let token = heir.acquire(service, "v0", LONG).await?.context("free, as its lease is over")?;
    assert!(token > zombie.token);
    let before = heir.text(STATE).await?;
    for (statement, expected) in what_the_dead_may_not(zombie.service, zombie.token) {
        answers(&zombie.sql, &statement, expected).await?;
    }
    assert_eq!(heir.text(STATE).await?, before, "nothing has changed");
    answers(&heir, &format!("SELECT volguard.assert_held({token}) IS NULL"), "f").await
}

#[tokio::test]
async fn without_the_fence_the_dead_come_back() -> anyhow::Result<()> {
    let site = Site::without("Fence")?;
    let violation = Violation::expected_in(a_dead_service_can_do_nothing(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

/// The table alone can't know: a zombie that writes without its token does damage, which fencing prevents.
#[tokio::test]
async fn without_a_token_a_zombies_write_takes_effect() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let zombie = Doomed::start(&site).await?;
    site.observer().await?.end_lease(zombie.service).await?;
    let heir = site.sql().await?;
    let service = heir.register("heir", LONG).await?;
    heir.acquire(service, "v0", LONG).await?.context("free, as its lease is over")?;
    let unfenced = fenced_update(0).replace("fence => 0", "fence => NULL");
    answers(&zombie.sql, &unfenced, "updated").await
}
