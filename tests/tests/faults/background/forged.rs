//! A schema of volguard's name that is not the extension's: the worker, which may do anything, does nothing there.

use volguard_tests::scenario::{Sql, Violation, furnish, until, url};
use volguard_tests::{PrivateServer, Profile};

use super::{logged, ticks, with_worker};

/// The attacker's copy of the tables, with a dead service in it.
const FORGED: &str = concat!(
    "CREATE SCHEMA volguard;",
    include_str!("../../../../sql/schema/10-tables.sql"),
    "INSERT INTO volguard.clusters (name) VALUES ('c');"
);

/// The server's worker looks into the database of an ordinary role.
async fn forge(server: &PrivateServer) -> anyhow::Result<()> {
    furnish(server)?;
    server.psql("CREATE DATABASE later OWNER manager")?;
    let attacker = Sql::connect(&url("manager", server.port(), "later")).await?;
    attacker.run(FORGED).await?;
    attacker
        .run(
            "INSERT INTO volguard.services (service_id, cluster, host, binary_name, lease, heartbeat_at, registered_by)
             VALUES (1, 'c', 'h', 'b', '1 s', now() - interval '1 h', 'manager')",
        )
        .await?;
    let touched = "SELECT fenced_at IS NOT NULL FROM volguard.services";
    let told = "database \"later\" lacks the extension volguard";
    until("a word of the worker, or its work", async || {
        let seen = logged(server, told)? > 0 || attacker.holds(touched).await?;
        Ok(seen.then_some(()))
    })
    .await?;
    ticks(server, 2).await?;
    if attacker.holds(touched).await? {
        let (act, expected) = ("a forged schema".to_owned(), "nothing is done there".to_owned());
        return Err(Violation::Trespass { act, expected, got: "a cleanup".to_owned() }.into());
    }
    Ok(())
}

#[tokio::test]
async fn a_forged_schema_is_left_alone() -> anyhow::Result<()> {
    forge(&with_worker().setting("volguard.database", "later").start()?).await
}

#[tokio::test]
async fn without_the_guard_a_forged_schema_is_cleaned_up() -> anyhow::Result<()> {
    let server = with_worker()
        .profile(Profile::Sabotage)
        .setting("volguard.database", "later")
        .setting("volguard.sabotage", "Member")
        .start()?;
    let violation = Violation::expected_in(forge(&server).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}
