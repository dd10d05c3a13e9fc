//! Signals to the program, while it waits and while the command runs.

use crate::support::{Database, Program, child_named, is_alive};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;
use volguard_tests::scenario::until;

fn send(program: &Program, signal: Signal) -> anyhow::Result<()> {
    Ok(kill_process(Pid::from_raw(program.pid()).expect("a process"), signal)?)
}

#[tokio::test]
async fn they_are_passed_on_to_the_command() -> anyhow::Result<()> {
    let database = Database::new().await?;
    for (name, signal, code) in [("USR1", Signal::USR1, 11), ("INT", Signal::INT, 12), ("TERM", Signal::TERM, 13)] {
        let script = format!("trap 'exit {code}' {name}; touch $DIR/runs; while :; do sleep 0.1; done");
        let mut program = Program::start(&database.url(), &[], "", &script)?;
        until("the command", async || Ok(program.said("runs"))).await?;
        send(&program, signal)?;
        // The shell may have told of its own child.
        assert_eq!(program.code().await?.0, Some(code), "{name}");
        assert_eq!(database.token("v-1").await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn while_it_waits_one_ends_it_and_leaves_nothing() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let holder = database.another().await?;
    let service = holder.register("holder", std::time::Duration::from_secs(600)).await?;
    let token = holder.acquire(service, "v-1", std::time::Duration::ZERO).await?;
    let mut program = Program::start(&database.url(), &["--wait", "1h"], "", "touch $DIR/runs")?;
    let waits = "SELECT count(*) FROM volguard.waiters";
    until("a waiter", async || Ok((database.number(waits).await? == 1).then_some(()))).await?;
    send(&program, Signal::TERM)?;
    let status = program.end().await?;
    assert_eq!(status.signal(), Some(15), "{status:?}");
    assert_eq!(program.said("runs"), None);
    // The program waits some seconds for its session, and not for ever.
    let left = "SELECT (SELECT count(*) FROM volguard.waiters) \
        + (SELECT count(*) FROM volguard.service_status WHERE state <> 'fenced')";
    until("the holder alone", async || Ok((database.number(left).await? == 1).then_some(()))).await?;
    assert_eq!(database.token("v-1").await?, token);
    Ok(())
}

/// The lock of a program that is killed is free as soon as the command is dead, not at the end of the lease.
#[tokio::test]
async fn a_killed_program_gives_its_lock_back() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = "touch $DIR/runs; while :; do sleep 0.1; done";
    let mut program = Program::start(&database.url(), &["--lease", "1h"], "", script)?;
    until("the command", async || Ok(program.said("runs"))).await?;
    let session = until("the session", async || Ok(child_named(program.pid(), "volguard"))).await?;
    send(&program, Signal::KILL)?;
    assert_eq!(program.end().await?.signal(), Some(9));
    until("a free lock", async || Ok(database.token("v-1").await?.is_none().then_some(()))).await?;
    until("the end of the session", async || Ok((!is_alive(session)).then_some(()))).await?;
    Ok(())
}
