//! The library and the objects of two versions: what each session is told, and that it can go on.

use std::time::Duration;

use anyhow::Context;
use tokio_postgres::Error;
use volguard_tests::scenario::{Observer, Sql, Violation, acquire};
use volguard_tests::{PrivateServer, Profile};

use crate::CURRENT;
use crate::shelf::{lay, made};

const LEASE: Duration = Duration::from_secs(300);
const LONG: Duration = Duration::from_secs(240);

/// An edge to a later version. As every edge, it begins with a call that does nothing: the library compares.
const EDGE: &str = "SELECT volguard.release_all('{}');
    CREATE FUNCTION volguard.renounce(token bigint) RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release';";

/// What only objects do: the update of the extension, in a session that has the library of that version.
const UNASKED: &str = "CREATE FUNCTION volguard.renounce(token bigint) RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release';";

/// SQLSTATE, message and HINT.
fn told(error: &Error) -> [String; 3] {
    let error = error.as_db_error().map(|error| {
        [error.code().code().to_owned(), error.message().to_owned(), error.hint().unwrap_or_default().to_owned()]
    });
    error.unwrap_or_default()
}

fn versions_differ(objects: &str) -> String {
    format!("the library is volguard {CURRENT}, the extension in this database is {objects}")
}

/// Sessions live through an update that brings newer objects: one that does nothing, and one that sleeps in a call.
async fn sessions_meet_newer_objects(server: &PrivateServer) -> anyhow::Result<()> {
    lay(server, &format!("{CURRENT}--9.0.0"), UNASKED)?;
    let superuser = Observer::of(&server.url()).await?;
    let [holder, waiter] = [Sql::connect(&server.url()).await?, Sql::connect(&server.url()).await?];
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v1", Duration::ZERO).await?.context("the lock is free")?;
    let other = waiter.register("waiter", LEASE).await?;
    let call = tokio::spawn(async move { (waiter.text(&acquire(other, "v1", LONG)).await, waiter) });
    superuser.until_asleep(1).await?;

    superuser.sql().run("ALTER EXTENSION volguard UPDATE TO '9.0.0'").await?;
    for verb in [format!("heartbeat({service})"), format!("release({token})"), format!("assert_held({token})")] {
        match holder.run(&format!("SELECT volguard.{verb}")).await {
            Ok(()) => return Err(Violation::MixedVersions(format!("{verb} works with newer objects")).into()),
            Err(error) => assert_eq!(
                told(&error),
                [
                    "0A000",
                    &versions_differ("9.0.0"),
                    "Install the library of that version on the server, and connect again."
                ]
            ),
        }
    }
    // It ends by itself: nothing has released the lock.
    let (answer, waiter) = call.await?;
    let refused = answer.expect_err("the lock is held");
    assert_eq!(told(&refused)[..2], ["0A000", &versions_differ("9.0.0")]);
    // Both go on with what is not ours.
    for session in [&holder, &waiter] {
        assert_eq!(session.number("SELECT 1").await?, Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn an_older_library_refuses_newer_objects_also_in_the_middle_of_a_call() -> anyhow::Result<()> {
    sessions_meet_newer_objects(&PrivateServer::builder().durable(false).start()?).await
}

#[tokio::test]
async fn without_the_comparison_it_works_with_them() -> anyhow::Result<()> {
    let server = without_comparison()?;
    let violation = Violation::expected_in(sessions_meet_newer_objects(&server).await);
    assert!(matches!(violation, Violation::MixedVersions(_)), "{violation:?}");
    Ok(())
}

fn without_comparison() -> anyhow::Result<PrivateServer> {
    let builder = PrivateServer::builder().durable(false).profile(Profile::Sabotage);
    Ok(builder.setting("volguard.sabotage", "SameVersion").start()?)
}

#[tokio::test]
async fn a_newer_library_says_that_the_extension_has_to_be_updated() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    server.psql_in("postgres", "CREATE DATABASE older")?;
    lay(&server, "0.0.8", &made()?)?;
    // Two steps: the library is newer than the objects between them.
    lay(&server, "0.0.8--0.0.9", EDGE)?;
    lay(&server, &format!("0.0.9--{CURRENT}"), "SELECT volguard.release_all('{}'); DROP FUNCTION volguard.renounce;")?;
    let [session, other] = [Sql::connect(&server.url_of("older")).await?, Sql::connect(&server.url_of("older")).await?];
    session.run("CREATE EXTENSION volguard VERSION '0.0.8'").await?;
    for refused in [&session, &other] {
        let error = refused.register("node-1", LEASE).await.expect_err("objects of another version");
        let hint = "Run ALTER EXTENSION volguard UPDATE in this database.";
        assert_eq!(told(&error), ["0A000", &versions_differ("0.0.8"), hint]);
    }
    session.run("ALTER EXTENSION volguard UPDATE").await?;
    // Both sessions go on.
    let service = session.register("node-1", LEASE).await?;
    let token = session.acquire(service, "v1", Duration::ZERO).await?.context("the lock is free")?;
    assert!(other.release(token).await?);
    Ok(())
}

/// An update in a session that has the older library fails, and changes nothing. After it, each call would fail.
async fn an_update_meets_an_older_library(server: &PrivateServer, hint: &str) -> anyhow::Result<()> {
    lay(server, &format!("{CURRENT}--9.0.0"), EDGE)?;
    let session = Sql::connect(&server.url()).await?;
    let service = session.register("node-1", LEASE).await?;
    match session.run("ALTER EXTENSION volguard UPDATE TO '9.0.0'").await {
        Ok(()) => return Err(Violation::MixedVersions("the update leaves the library behind".to_owned()).into()),
        Err(error) => assert_eq!(told(&error), ["0A000", &versions_differ("9.0.0"), hint]),
    }
    let version = session.text("SELECT extversion FROM pg_extension WHERE extname = 'volguard'").await?;
    assert_eq!(version.as_deref(), Some(CURRENT));
    assert!(session.acquire(service, "v1", Duration::ZERO).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_update_is_refused_where_the_library_is_older() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let hint = "Install the library of that version on the server, and connect again.";
    an_update_meets_an_older_library(&server, hint).await
}

#[tokio::test]
async fn an_update_is_refused_until_a_server_that_preloads_the_library_has_restarted() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).setting("shared_preload_libraries", "volguard").start()?;
    let hint = "Install the library of that version on the server, and restart it: shared_preload_libraries loads \
                volguard when the server starts.";
    an_update_meets_an_older_library(&server, hint).await
}

#[tokio::test]
async fn without_the_comparison_an_update_leaves_the_library_behind() -> anyhow::Result<()> {
    let violation = Violation::expected_in(an_update_meets_an_older_library(&without_comparison()?, "").await);
    assert!(matches!(violation, Violation::MixedVersions(_)), "{violation:?}");
    Ok(())
}
