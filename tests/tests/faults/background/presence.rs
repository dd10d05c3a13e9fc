//! What the worker needs, and may have to wait for; and that its presence changes nothing for other sessions.

use volguard_tests::PrivateServer;
use volguard_tests::scenario::{Observer, furnish, until};

use super::{LONG, crashed, is_untouched, logged, server, ticks, until_cleaned, volumes, with_worker};

/// A missing object is reported once, not at every tick, and as soon as it exists the worker goes on.
#[tokio::test]
async fn database_and_extension_may_come_and_go() -> anyhow::Result<()> {
    let server = with_worker().setting("volguard.database", "later").start()?;
    furnish(&server)?;
    let (missing, lacking, going_on) = (
        "volguard.database names \"later\", which does not exist",
        "database \"later\" lacks the extension volguard",
        "volguard: cleaning up again",
    );
    // Twice, since the worker remembers the first round.
    for round in 1..=2 {
        until("the word of a missing database", async || Ok((logged(&server, missing)? == round).then_some(())))
            .await?;
        server.psql("CREATE DATABASE later")?;
        ticks(&server, 3).await?;
        assert_eq!(logged(&server, lacking)?, 2 * round - 1);
        for cycle in 0..2 {
            server.psql_in("later", "CREATE EXTENSION volguard")?;
            let observer = Observer::of(&server.url_of("later")).await?;
            let dead = observer.sql().register("dead", LONG).await?;
            observer.end_lease(dead).await?;
            let fenced = format!("SELECT state = 'fenced' FROM volguard.service_status WHERE service_id = {dead}");
            until("a cleaning", async || Ok(observer.sql().holds(&fenced).await?.then_some(()))).await?;
            // The launcher writes it, when the process that has cleaned up ends.
            let times = 2 * (round - 1) + cycle + 1;
            until("the word of it", async || Ok((logged(&server, going_on)? == times).then_some(()))).await?;
            if cycle == 0 {
                server.psql_in("later", "DROP EXTENSION volguard")?;
                ticks(&server, 3).await?;
                assert_eq!(logged(&server, lacking)?, 2 * round);
            }
        }
        assert_eq!(logged(&server, missing)?, round);
        // The worker keeps no connection that would prevent it.
        until("the end of our own connections", async || {
            let others =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'later' AND backend_type = 'client backend'";
            Ok((server.psql(others)?.trim() == "0").then_some(()))
        })
        .await?;
        server.psql("DROP DATABASE later")?;
    }
    Ok(())
}

/// Sessions see the settings before any call, with the same values as after one; the prefix is reserved.
#[tokio::test]
async fn sessions_are_as_without_preload() -> anyhow::Result<()> {
    let server = server()?;
    let look = "SELECT string_agg(concat_ws('|', name, unit, category, context, vartype, min_val, max_val, boot_val), E'\\n' ORDER BY name)
                FROM pg_settings WHERE name LIKE 'volguard.%'";
    let preloaded = server.psql(look)?;
    let plain = PrivateServer::builder().durable(false).start()?;
    let loaded = plain.psql(&format!("LOAD '$libdir/volguard'; {look}"))?;
    assert_eq!(preloaded, loaded);
    assert!(preloaded.contains("volguard.cleanup_interval|ms|"));
    for session in [
        "SET volguard.auto_clean = off",
        "LOAD '$libdir/volguard'; SET volguard.nonsense = 1",
        "SET volguard.cleanup_interval = 1000",
    ] {
        assert!(server.psql(session).is_err(), "{session}");
    }
    server.psql("SET volguard.auto_cleanup = off; LOAD '$libdir/volguard'; SELECT volguard.release(1)")?;
    assert_eq!(logged(&server, "WARNING")?, 0);
    Ok(())
}

/// If no worker process is left for a cleaning, the log says so once.
#[tokio::test]
async fn too_few_processes_are_told_of() -> anyhow::Result<()> {
    // The launcher has one, and Postgres' own launcher of logical replication the other.
    let mut server = with_worker().setting("max_worker_processes", "2").start()?;
    furnish(&server)?;
    let sql = volumes(&server).await?;
    let dead = crashed(&server, &sql, "v0").await?;
    let told = "no process is left for a cleanup";
    until("the word of it", async || Ok((logged(&server, told)? == 1).then_some(()))).await?;
    assert!(is_untouched(&server, dead).await?);
    // A cleanup has one, and each repair.
    server.psql("ALTER SYSTEM SET max_worker_processes = 4")?;
    server.stop()?;
    assert_eq!(logged(&server, told)?, 1, "once");
    server.restart()?;
    until_cleaned(&server, dead).await
}
