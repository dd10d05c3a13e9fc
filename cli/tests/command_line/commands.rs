//! The commands that ask once: what they print, for people and for programs.

use crate::support::{Database, ended, run};
use serde_json::Value;
use std::time::Duration;
use volguard_tests::scenario::until;

pub(crate) const SCENE: &str = include_str!("scene.sql");

/// The scene, in which who lives at its beginning does so for as long as a slow machine takes.
pub(crate) async fn play(database: &Database) -> anyhow::Result<()> {
    database.sql.run(SCENE).await?;
    Ok(database.sql.run("UPDATE volguard.services SET lease = '1 hour' WHERE host <> 'node-3'").await?)
}

/// What a command prints that succeeds.
async fn said(database: &Database, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, said, told) = ended(&run(&database.url(), arguments).await?);
    anyhow::ensure!(code == Some(0) && told.is_empty(), "{arguments:?}: {code:?} {told}");
    Ok(said)
}

async fn json(database: &Database, arguments: &[&str]) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&said(database, &[arguments, &["--json"]].concat()).await?)?)
}

/// The line that begins with this word, as words.
fn line<'t>(text: &'t str, first: &str) -> Vec<&'t str> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.into_iter().find(|words| words.first() == Some(&first)).unwrap_or_else(|| panic!("no {first} in\n{text}"))
}

#[tokio::test]
async fn status_shows_clusters_services_and_locks() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let nothing = said(&database, &["status"]).await?;
    assert_eq!(nothing, "no clusters\n\nno services\n\nno locks\n");
    play(&database).await?;
    let status = said(&database, &["status"]).await?;
    assert!(status.lines().all(|line| line.chars().count() <= 100), "{status}");
    assert_eq!(line(&status, "lvm")[..6], ["lvm", "down", "0", "1", "2", "1"]);
    assert!(status.contains("disabled: maintenance until noon"), "{status}");
    assert_eq!(line(&status, "node-3")[2..4], ["lvm", "down"]);
    assert!(line(&status, "node-3")[4].starts_with("2m"), "{status}");
    assert_eq!(line(&status, "volume/v-1")[1..4], ["extending", "node-1", "yes"]);
    assert_eq!(line(&status, "volume/v-3")[1..4], ["creating", "node-3", "dead"]);
    assert_eq!(line(&status, "snapshot/s-1")[1..3], ["copy", "copying"]);
    let all = json(&database, &["status"]).await?;
    assert_eq!(all["services"].as_array().map(Vec::len), Some(3));
    let token = all["locks"].as_array().and_then(|locks| locks.iter().find(|lock| lock["resource_id"] == "v-1"));
    assert_eq!(token.and_then(|lock| lock["token"].as_i64()), database.token("v-1").await?);
    Ok(())
}

#[tokio::test]
async fn who_says_who_holds_a_lock_and_who_waits() -> anyhow::Result<()> {
    let database = Database::new().await?;
    play(&database).await?;
    let waiting = database.another().await?;
    let waiter = waiting.register("node-4", Duration::from_secs(600)).await?;
    let acquire = volguard_tests::scenario::acquire(waiter, "v-1", Duration::from_secs(600));
    let waits = tokio::spawn(async move { waiting.run(&acquire).await });
    let table = until("a waiter", async || {
        Ok(Some(said(&database, &["waiters"]).await?).filter(|said| said.contains("node-4")))
    });
    assert_eq!(line(&table.await?, "volume/v-1")[1..4], ["lock", "1", "node-4"]);
    let who = said(&database, &["who", "volume/v-1"]).await?;
    assert!(who.contains("volume-manager on node-1") && who.contains("node-4"), "{who}");
    assert!(who.lines().all(|line| line.chars().count() <= 100), "{who}");
    let all = json(&database, &["who", "volume/v-1"]).await?;
    assert_eq!((&all["locks"][0]["host"], &all["waiters"][0]["host"]), (&"node-1".into(), &"node-4".into()));
    assert!(all["why"].as_array().is_some_and(|lines| lines.len() > 3));
    assert_eq!(json(&database, &["waiters"]).await?[0]["place"], 1);
    let free = said(&database, &["who", "snapshot/s-1"]).await?;
    assert!(free.contains("The lock of snapshot s-1 is free"), "{free}");
    let held = said(&database, &["who", "snapshot/s-1", "--lock-name", "copy"]).await?;
    assert!(held.contains("volume-manager on node-2"), "{held}");
    waits.abort();
    Ok(())
}

#[tokio::test]
async fn free_takes_a_lock_away_and_events_tell_of_it() -> anyhow::Result<()> {
    let database = Database::new().await?;
    assert_eq!(said(&database, &["events"]).await?, "no events\n");
    play(&database).await?;
    let free = ["free", "volume/v-2", "--reason", "node-2 hangs"];
    assert_eq!(said(&database, &free).await?, "the lock of volume/v-2 is free\n");
    let (code, said_again, told) = ended(&run(&database.url(), &free).await?);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert_eq!(said_again, "the lock of volume/v-2 was held by no service\n");
    let events = said(&database, &["events"]).await?;
    let last = events.lines().last().unwrap_or_default();
    assert!(last.contains("forced") && last.contains("volume/v-2") && last.contains("node-2 hangs"), "{events}");
    assert!(events.lines().all(|line| line.chars().count() <= 100), "{events}");
    let one = json(&database, &["events", "-n", "1"]).await?;
    assert_eq!((one.as_array().map(Vec::len), &one[0]["details"]["reason"]), (Some(1), &"node-2 hangs".into()));
    // A role that may look, and not take away.
    database
        .sql
        .run("DO $$ BEGIN CREATE ROLE cli_guest LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$")
        .await?;
    database.sql.run("ALTER ROLE cli_guest PASSWORD 'guest'; SELECT volguard.grant_usage('cli_guest')").await?;
    let url = format!("{} user=cli_guest password=guest", database.url());
    let (code, _, told) = ended(&run(&url, &["free", "volume/v-1", "--reason", "x"]).await?);
    assert!(code == Some(115) && told.contains("42501"), "{code:?} {told}");
    assert_eq!(run(&url, &["status"]).await?.status.code(), Some(0));
    Ok(())
}

/// The server says what is missing, and not how to get it.
#[tokio::test]
async fn a_role_without_rights_is_told_who_gives_them() -> anyhow::Result<()> {
    let database = Database::new().await?;
    database
        .sql
        .run("DO $$ BEGIN CREATE ROLE cli_nothing LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$")
        .await?;
    database.sql.run("ALTER ROLE cli_nothing PASSWORD 'guest'").await?;
    let url = format!("{} user=cli_nothing password=guest", database.url());
    let asked = [
        &["status"][..],
        &["who", "volume/v-1"],
        &["waiters"],
        &["events"],
        &["free", "volume/v-1", "--reason", "x"],
        &["cleanup"],
        &["lock", "volume/v-1", "--", "true"],
    ];
    for arguments in asked {
        let (code, said, told) = ended(&run(&url, arguments).await?);
        assert_eq!((code, said.as_str()), (Some(115), ""), "{arguments:?} {told}");
        let says = ["42501", "grant_usage", "grant_monitoring", "grant_operator"];
        assert!(says.iter().all(|word| told.contains(word)), "{arguments:?} {told}");
    }
    Ok(())
}

#[tokio::test]
async fn cleanup_frees_the_locks_of_the_dead() -> anyhow::Result<()> {
    let database = Database::new().await?;
    play(&database).await?;
    assert_eq!(said(&database, &["cleanup", "--cluster", "ceph"]).await?, "nothing to clean up\n");
    let cleaned = said(&database, &["cleanup"]).await?;
    assert!(cleaned.starts_with("node-3 in lvm, service ") && cleaned.contains("locks freed: 1"), "{cleaned}");
    assert_eq!(database.token("v-4").await?, None);
    assert_eq!(json(&database, &["cleanup", "--host", "node-9"]).await?, serde_json::json!([]));
    let service = "SELECT service_id FROM volguard.service_status WHERE host = 'node-1'";
    let alive = database.number(service).await?.to_string();
    let (code, _, told) = ended(&run(&database.url(), &["cleanup", "--service", &alive]).await?);
    assert!(code == Some(115) && told.contains("55000"), "{code:?} {told}");
    Ok(())
}

/// PgBouncer keeps no prepared statement and no setting from one transaction to the next.
#[tokio::test]
async fn through_a_pooler_in_transaction_mode() -> anyhow::Result<()> {
    let database = Database::new().await?;
    play(&database).await?;
    let url = database.as_url()?;
    let pooler = tokio::task::spawn_blocking(move || volguard_tests::PgBouncer::in_front_of(&url)).await??;
    let url = pooler.url();
    for _ in 0..3 {
        for asked in [&["status"][..], &["who", "volume/v-1"], &["waiters"], &["events"], &["cleanup", "--host", "x"]] {
            let (code, _, told) = ended(&run(&url, &[asked, &["--pooled"]].concat()).await?);
            assert_eq!((code, told.as_str()), (Some(0), ""), "{asked:?}");
        }
        let lock = ["lock", "volume/v-8", "--pooled", "--wait", "5s", "--", "sh", "-c", "exit 9"];
        let (code, _, told) = ended(&run(&url, &lock).await?);
        assert_eq!((code, told.as_str()), (Some(9), ""));
    }
    let (code, ..) = ended(&run(&url, &["free", "volume/v-2", "--reason", "x", "--pooled"]).await?);
    assert_eq!(code, Some(0));
    Ok(())
}
