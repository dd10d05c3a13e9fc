//! What is said of a service by others: only its own role sets its details, and who may say that it takes no new work.

use std::time::Duration;

use volguard_tests::scenario::{Route, Site, Sql, Violation};

use crate::dead::answers;

const LONG: Duration = Duration::from_secs(60);

async fn details_are_set_by_the_services_role(site: &Site) -> anyhow::Result<()> {
    site.psql("SELECT volguard.grant_usage('stranger')")?;
    let (sql, stranger) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    let service = sql.register("a", LONG).await?;
    let update = |changes: &str| format!("SELECT volguard.update_service({service}, {changes}) IS NOT NULL");
    answers(&sql, &update(r#"'{"zone": "mine"}'"#), "t").await?;
    answers(&stranger, &update(r#"'{"zone": "forged"}'"#), "42501").await?;
    answers(&stranger, &update("disabled => true"), "42501").await?;
    // An operator may mark it, and no more.
    site.psql("SELECT volguard.grant_operator('stranger')")?;
    answers(&stranger, &update("disabled => true, disabled_reason => 'new disks'"), "t").await?;
    answers(&stranger, &update(r#"'{"zone": "forged"}', true"#), "42501").await?;
    let look = format!(
        "SELECT concat_ws(' ', details ->> 'zone', disabled, disabled_reason)
                        FROM volguard.service_status WHERE service_id = {service}"
    );
    answers(&sql, &look, "mine t new disks").await?;
    answers(&sql, &format!("SELECT volguard.heartbeat({service}) IS NOT NULL"), "t").await?;
    answers(&sql, &look, "mine t new disks").await
}

#[tokio::test]
async fn only_its_role_sets_the_details_of_a_service() -> anyhow::Result<()> {
    details_are_set_by_the_services_role(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_look_at_the_role_others_set_them() -> anyhow::Result<()> {
    let site = Site::without("OwnDetails")?;
    let violation = Violation::expected_in(details_are_set_by_the_services_role(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}
