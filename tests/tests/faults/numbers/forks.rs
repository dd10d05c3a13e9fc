//! Standbys that are promoted: with a lag, with a clock that is behind, and without knowing of each other.

use std::collections::HashSet;
use std::fs;

use volguard_tests::PrivateServer;
use volguard_tests::scenario::{Violation, sqlstate};

use super::draws::{Build, HOUR, WHOLE, are_back, draw, next, session};

fn timeline(server: &PrivateServer) -> anyhow::Result<String> {
    server.psql("CHECKPOINT")?;
    Ok(server.psql("SELECT timeline_id FROM pg_control_checkpoint()")?)
}

/// A server is promoted twice within seconds. Then two standbys of it are promoted, one after the other, and neither
/// has received its last numbers, nor heard of the other one.
async fn promoted_one_by_one(build: Build) -> anyhow::Result<()> {
    let mut drawn = Vec::new();
    let mut first = build.server()?;
    draw(&session(&first).await?, "first", &mut drawn).await?;
    for again in 0..2 {
        first.new_timeline()?;
        draw(&session(&first).await?, &format!("again-{again}"), &mut drawn).await?;
    }
    first.stop()?;
    let mut second = build.builder().start_standby(&first)?;
    let mut third = build.builder().start_standby(&first)?;
    first.restart()?;
    draw(&session(&first).await?, "last", &mut drawn).await?;
    first.crash()?;

    second.promote()?;
    draw(&session(&second).await?, "second", &mut drawn).await?;
    third.promote()?;
    draw(&session(&third).await?, "second", &mut drawn).await?;
    assert_eq!(timeline(&second)?, "4");
    assert_eq!(timeline(&third)?, "4");
    Ok(())
}

#[tokio::test]
async fn promotions_that_know_nothing_of_each_other_draw_larger_numbers() -> anyhow::Result<()> {
    promoted_one_by_one(WHOLE).await
}

#[tokio::test]
async fn without_clock_and_place_the_second_promotion_draws_the_numbers_of_the_first() {
    are_back(promoted_one_by_one(Build::without("Clock, Place")).await);
}

/// Both are promoted at once, and draw in turns: no number is drawn twice.
async fn promoted_at_once(build: Build) -> anyhow::Result<()> {
    let mut before = Vec::new();
    let mut first = build.server()?;
    draw(&session(&first).await?, "first", &mut before).await?;
    first.stop()?;
    let mut standbys = [build.builder().start_standby(&first)?, build.builder().start_standby(&first)?];
    for standby in &mut standbys {
        standby.promote()?;
    }
    let mut all = HashSet::new();
    let sessions = [session(&standbys[0]).await?, session(&standbys[1]).await?];
    let mut drawn = [before.clone(), before];
    for number in 0..40 {
        for (sql, drawn) in sessions.iter().zip(&mut drawn) {
            let statement = format!("SELECT volguard.register_service('node-{number}', 'test')");
            let number = next(sql, &statement, drawn).await?;
            if !all.insert(number) {
                return Err(Violation::NumberInUse(format!("{number}, by both")).into());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn promotions_within_a_second_draw_different_numbers() -> anyhow::Result<()> {
    promoted_at_once(WHOLE).await
}

#[tokio::test]
async fn without_clock_and_place_both_draw_the_same() {
    are_back(promoted_at_once(Build::without("Clock, Place")).await);
}

/// A standby that lags, and whose clock is behind by so many seconds, takes over. The session that draws was open
/// before its promotion.
async fn behind(build: Build, seconds: i64) -> anyhow::Result<()> {
    let mut drawn = Vec::new();
    let mut first = build.old_server(&mut drawn).await?;
    first.set_clock(0)?;
    first.restart()?;
    draw(&session(&first).await?, "received", &mut drawn).await?;
    first.stop()?;
    let mut standby = build.builder().clock(-seconds).start_standby(&first)?;
    let early = session(&standby).await?;
    let refused = early.run("SELECT volguard.register_service('early', 'test')").await;
    assert_eq!(sqlstate(&refused.unwrap_err()), "25006");
    first.restart()?;
    draw(&session(&first).await?, "not received", &mut drawn).await?;
    first.stop()?;

    standby.promote()?;
    draw(&early, "later", &mut drawn).await?;
    let warned = fs::read_to_string(standby.log())?.contains("ahead of the server's clock");
    assert_eq!(warned, seconds > 60, "a warning of a clock that is far behind");
    Ok(())
}

#[tokio::test]
async fn a_lagging_standby_draws_larger_numbers_with_a_clock_ten_seconds_behind() -> anyhow::Result<()> {
    behind(WHOLE, 10).await
}

#[tokio::test]
async fn a_lagging_standby_draws_larger_numbers_with_a_clock_an_hour_behind() -> anyhow::Result<()> {
    behind(WHOLE, HOUR).await
}

#[tokio::test]
async fn without_the_place_numbers_fall_where_the_clock_is_behind() {
    // More than the time that passes between the last draw of the one and the first of the other.
    are_back(behind(Build::without("Place"), 50).await);
    are_back(behind(Build::without("Place"), HOUR).await);
}
