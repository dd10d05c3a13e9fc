//! Between the grant of the lock and the first instruction of the command.

use crate::support::{Database, Program, child_named};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use volguard_tests::scenario::{Sql, acquire, until};

const RUNS: &str = "touch $DIR/runs; while :; do sleep 0.1; done";

fn signal(pid: i32, signal: Signal) -> anyhow::Result<()> {
    Ok(kill_process(Pid::from_raw(pid).expect("a process"), signal)?)
}

/// A program that waits for the lock, its session, and the holder with its token.
async fn waiting(database: &Database, without: &str, lease: &str) -> anyhow::Result<(Program, i32, Sql, i64)> {
    let holder = database.another().await?;
    let service = holder.register("holder", Duration::from_secs(600)).await?;
    let token = holder.acquire(service, "v-1", Duration::ZERO).await?.expect("a token");
    let program = Program::start(&database.url(), &["--wait", "1h", "--lease", lease], without, RUNS)?;
    let waits = "SELECT count(*) FROM volguard.waiters";
    until("a waiter", async || Ok((database.number(waits).await? == 1).then_some(()))).await?;
    let session = until("the session", async || Ok(child_named(program.pid(), "volguard"))).await?;
    Ok((program, session, holder, token))
}

/// The holder gives the lock to the program, which is stopped; so is its session then, until another service has it.
async fn passed_on(without: &str) -> anyhow::Result<(Database, Program, i32)> {
    let database = Database::new().await?;
    let (program, session, holder, token) = waiting(&database, without, "12s").await?;
    signal(program.pid(), Signal::STOP)?;
    holder.run(&format!("SELECT volguard.release({token})")).await?;
    // It knows of the grant when it asks about its token for the first time, a third of the lease later.
    let asks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%assert_held%' \
        AND pid <> pg_backend_pid()";
    until("a session with the lock", async || Ok((database.number(asks).await? > 0).then_some(()))).await?;
    signal(session, Signal::STOP)?;
    let service = holder.register("rival", Duration::from_secs(60)).await?;
    let took = acquire(service, "v-1", Duration::from_secs(60));
    anyhow::ensure!(holder.number(&took).await?.is_some(), "the lock never passed on");
    signal(program.pid(), Signal::CONT)?;
    Ok((database, program, session))
}

#[tokio::test]
async fn a_command_does_not_begin_after_the_lease() -> anyhow::Result<()> {
    let (_database, mut program, session) = passed_on("").await?;
    let (code, told) = program.code().await?;
    assert_eq!((code, told.as_str()), (Some(113), "volguard: lost: the lease was over; the command was not run\n"));
    assert_eq!(program.said("runs"), None);
    // It is in a session of its own, and lives as long as it is stopped.
    signal(session, Signal::KILL)
}

#[cfg(feature = "sabotage")]
#[tokio::test]
async fn without_a_look_at_the_clock_it_begins() -> anyhow::Result<()> {
    let (_database, program, session) = passed_on("Begin,FrontClock").await?;
    until("the command", async || Ok(program.said("runs"))).await?;
    for pid in [session, program.pid()] {
        signal(pid, Signal::KILL)?;
    }
    Ok(())
}

/// Nothing was done then, and the code alone does not say so.
#[tokio::test]
async fn a_session_that_ends_before_the_command_begins_is_told() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (mut program, session, ..) = waiting(&database, "", "1h").await?;
    signal(session, Signal::KILL)?;
    let (code, told) = program.code().await?;
    assert_eq!(code, Some(113));
    assert_eq!(told, "volguard: lost: the process of its session has ended; the command was not run\n");
    assert_eq!(program.said("runs"), None);
    Ok(())
}

/// The grant may be on its way to a program that is gone: the lock must not wait for the end of the lease.
#[tokio::test]
async fn a_program_that_is_killed_at_the_grant_leaves_no_lock() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (mut program, session, holder, token) = waiting(&database, "", "1h").await?;
    signal(session, Signal::STOP)?;
    holder.run(&format!("SELECT volguard.release({token})")).await?;
    until("a grant", async || Ok(database.token("v-1").await?.filter(|other| *other != token))).await?;
    signal(program.pid(), Signal::KILL)?;
    program.end().await?;
    signal(session, Signal::CONT)?;
    until("a free lock", async || Ok(database.token("v-1").await?.is_none().then_some(()))).await?;
    assert_eq!(program.said("runs"), None);
    Ok(())
}

/// Wherever it is: connecting, registering, acquiring, starting the command, releasing. An administrator would look for
/// the reason of a service that has crashed.
#[tokio::test]
async fn a_program_that_is_killed_at_any_moment_leaves_nothing() -> anyhow::Result<()> {
    let database = Database::new().await?;
    for step in 0..40 {
        let mut program = Program::start(&database.url(), &["--lease", "1h"], "", "exit 0")?;
        tokio::time::sleep(Duration::from_millis(step * 4)).await;
        signal(program.pid(), if step % 2 == 0 { Signal::KILL } else { Signal::TERM })?;
        program.end().await?;
    }
    let left = "SELECT (SELECT count(*) FROM volguard.service_status WHERE state <> 'fenced') \
        + (SELECT count(*) FROM volguard.lock_status) \
        + (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'volguard')";
    until("nothing left", async || Ok((database.number(left).await? == 0).then_some(()))).await?;
    Ok(())
}
