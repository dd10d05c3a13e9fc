//! An extension that is created anew, tables that are copied without their sequences, data that is put back.

use std::time::Duration;

use volguard_tests::scenario::{furnish, sqlstate, until_within};

use super::draws::{Build, WHOLE, are_back, draw, next, session};

/// A process goes on with the service id and the token that it has got from the extension that was dropped.
async fn created_anew(build: Build) -> anyhow::Result<()> {
    let server = build.server()?;
    let (mut drawn, sql) = (Vec::new(), session(&server).await?);
    let service = next(&sql, "SELECT volguard.register_service('node', 'test')", &mut drawn).await?;
    let token = next(&sql, &format!("SELECT volguard.acquire({service}, 'volume', 'v')"), &mut drawn).await?;
    server.psql("DROP EXTENSION volguard; CREATE EXTENSION volguard; SELECT volguard.grant_operator('manager')")?;
    // Under the same name, as after a restart.
    let new_service = next(&sql, "SELECT volguard.register_service('node', 'test')", &mut drawn).await?;
    next(&sql, &format!("SELECT volguard.acquire({new_service}, 'volume', 'v')"), &mut drawn).await?;
    let heartbeat = sql.run(&format!("SELECT volguard.heartbeat({service})")).await;
    assert_eq!(sqlstate(&heartbeat.unwrap_err()), "VG001");
    assert!(!sql.release(token).await?);
    draw(&sql, "more", &mut drawn).await
}

#[tokio::test]
async fn numbers_grow_over_drop_and_create_extension() -> anyhow::Result<()> {
    created_anew(WHOLE).await
}

#[tokio::test]
async fn without_clock_and_place_service_one_comes_back() {
    are_back(created_anew(Build::without("Clock, Place")).await);
}

/// A cut-over by logical replication, which copies no sequences.
async fn replicated(build: Build) -> anyhow::Result<()> {
    let (mut drawn, tables) = (Vec::new(), ["clusters", "services", "workers", "events"]);
    let source = build.builder().setting("wal_level", "logical").start()?;
    furnish(&source)?;
    draw(&session(&source).await?, "node", &mut drawn).await?;
    let target = build.server()?;
    source.psql(&format!("CREATE PUBLICATION moved FOR TABLE volguard.{}", tables.join(", volguard.")))?;
    target.psql(&format!("CREATE SUBSCRIPTION moved CONNECTION '{}' PUBLICATION moved", source.url()))?;
    until_within(Duration::from_secs(120), "all tables", async || {
        let ready = target.psql("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'")?;
        Ok((ready == tables.len().to_string()).then_some(()))
    })
    .await?;
    target.psql("DROP SUBSCRIPTION moved")?;
    for table in tables {
        let count = format!("SELECT count(*) FROM volguard.{table}");
        assert_eq!(target.psql(&count)?, source.psql(&count)?);
    }

    let sql = session(&target).await?;
    let fenced = "SELECT count(*) FROM volguard.event_log WHERE kind = 'fenced'";
    assert_eq!(sql.number(fenced).await?, Some(0));
    let mut before = drawn.clone();
    next(&sql, "SELECT volguard.register_service('node', 'test')", &mut drawn).await?;
    assert_eq!(sql.number(fenced).await?, Some(1), "the earlier incarnation");
    next(&sql, "SELECT max(event_id) FROM volguard.event_log", &mut before).await?;
    draw(&sql, "more", &mut drawn).await
}

#[tokio::test]
async fn numbers_grow_over_a_logical_cut_over() -> anyhow::Result<()> {
    replicated(WHOLE).await
}

#[tokio::test]
async fn without_clock_and_place_a_logical_cut_over_brings_numbers_back() {
    are_back(replicated(Build::without("Clock, Place")).await);
}

/// The data directory is put back to a copy of an hour ago, in the same place; later the sequence is set back by hand.
async fn put_back(build: Build) -> anyhow::Result<()> {
    let mut drawn = Vec::new();
    let mut server = build.old_server(&mut drawn).await?;
    server.keep_data()?;
    server.restart()?;
    draw(&session(&server).await?, "lost", &mut drawn).await?;
    server.stop()?;
    server.put_data_back()?;
    server.set_clock(0)?;
    server.restart()?;
    let sql = session(&server).await?;
    draw(&sql, "after", &mut drawn).await?;
    for (name, back) in [("far", "5"), ("near", "last_value - (3::bigint << 22)")] {
        server.psql(&format!("SELECT setval('volguard.clock', {back}) FROM volguard.clock"))?;
        draw(&sql, name, &mut drawn).await?;
    }
    Ok(())
}

#[tokio::test]
async fn numbers_grow_over_a_data_directory_that_is_put_back() -> anyhow::Result<()> {
    put_back(WHOLE).await
}

#[tokio::test]
async fn without_the_clock_a_data_directory_that_is_put_back_brings_numbers_back() {
    are_back(put_back(Build::without("Clock")).await);
}
