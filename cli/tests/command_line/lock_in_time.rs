//! Whatever happens to the program, its session or the network: no process of the command lives when the server gives
//! the lock to another service.
//!
//! The time at which the lock passes on is the server's, the time at which a process was last alive is this machine's:
//! the server must be on the same one.

use crate::support::{Database, Processes, Program, child_named};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{PipeReader, PipeWriter, Write};
use std::time::{Duration, SystemTime};
use tokio::process::Command;
use volguard_tests::scenario::{Direction, Proxy, Road, acquire, until};

/// A tenth of it lies between SIGKILL and the moment at which the lock may pass on.
const LEASE: &str = "10s";

/// Two processes that mind no SIGTERM. Each line of `pids` is complete.
const STUBBORN: &str = "trap '' TERM; (trap '' TERM; while :; do sleep 60; done) & \
    echo \"$$ $!\" > $DIR/all; mv $DIR/all $DIR/pids; while :; do sleep 60; done";

/// One that leaves a process in another session behind, which minds neither SIGTERM nor SIGHUP.
const WITH_DAEMON: &str = "setsid sh -c 'trap \"\" TERM HUP; echo $$ > $DIR/daemon; while :; do sleep 60; done' & \
    until [ -s $DIR/daemon ]; do sleep 0.05; done; \
    echo \"$$ $(cat $DIR/daemon)\" > $DIR/all; mv $DIR/all $DIR/pids; while :; do sleep 60; done";

/// What befalls a command that runs.
type Strike = fn(&Proxy, front: i32, session: i32) -> anyhow::Result<()>;

fn signal(pid: i32, signal: Signal) -> anyhow::Result<()> {
    Ok(kill_process(Pid::from_raw(pid).expect("a process"), signal)?)
}

fn block(proxy: &Proxy) {
    proxy.set_road(Direction::Request, Road::Blocked);
    proxy.set_road(Direction::Reply, Road::Blocked);
}

/// When the lock passed on, and when a process of the command was last alive.
async fn pass_on(
    without: &str,
    script: &str,
    count: usize,
    strike: Strike,
) -> anyhow::Result<(SystemTime, SystemTime)> {
    pass_on_as(without, script, count, strike, |_| {}).await
}

async fn pass_on_as(
    without: &str,
    script: &str,
    count: usize,
    strike: Strike,
    prepare: impl FnOnce(&mut Command),
) -> anyhow::Result<(SystemTime, SystemTime)> {
    let database = Database::new().await?;
    let proxy = Proxy::in_front_of(crate::support::port()).await?;
    let url = database.by_port(proxy.port());
    let mut program = Program::start_as(&url, &["--lease", LEASE], without, script, prepare)?;
    let processes = Processes::of(&program, count).await?;
    let session = until("the session", async || Ok(child_named(program.pid(), "volguard"))).await?;
    strike(&proxy, program.pid(), session)?;
    let rival = database.another().await?;
    let service = rival.register("rival", Duration::from_secs(60)).await?;
    let took = acquire(service, "v-1", Duration::from_secs(60));
    anyhow::ensure!(rival.number(&took).await?.is_some(), "the lock never passed on");
    let since = "SELECT (extract(epoch FROM acquired_at) * 1e6)::bigint FROM volguard.lock_status";
    let since = Duration::from_micros(database.number(since).await?.unsigned_abs());
    // What was alive a moment ago may still be.
    let last_alive = if processes.any_alive() { SystemTime::now() } else { processes.last_alive() };
    for (pid, way) in [(session, Signal::CONT), (session, Signal::KILL), (program.pid(), Signal::KILL)] {
        // Gone already, most of them.
        let _ = signal(pid, way);
    }
    drop(processes);
    program.end().await?;
    Ok((SystemTime::UNIX_EPOCH + since, last_alive))
}

/// The command was dead when the lock passed on. A busy machine may keep the processes that watch over it from their
/// work for longer than they have for it: so that is measured three times.
async fn is_in_time(measure: impl AsyncFn() -> anyhow::Result<(SystemTime, SystemTime)>) -> anyhow::Result<()> {
    let mut late = Vec::new();
    while late.len() < 3 {
        let (passed, alive) = measure().await?;
        match alive.duration_since(passed) {
            Ok(time) => late.push(time),
            Err(_) => return Ok(()),
        }
    }
    anyhow::bail!("alive so long after the lock had passed on: {late:?}")
}

async fn ends_in_time(script: &str, count: usize, strike: Strike) -> anyhow::Result<()> {
    is_in_time(async || pass_on("", script, count, strike).await).await
}

#[cfg(feature = "sabotage")]
async fn does_not_end_in_time(without: &str, script: &str, count: usize, strike: Strike) -> anyhow::Result<()> {
    let (passed, alive) = pass_on(without, script, count, strike).await?;
    assert!(alive >= passed, "dead before the lock had passed on, without {without}");
    Ok(())
}

fn black_hole(proxy: &Proxy, _: i32, _: i32) -> anyhow::Result<()> {
    block(proxy);
    Ok(())
}

fn server_gone(proxy: &Proxy, _: i32, _: i32) -> anyhow::Result<()> {
    proxy.refuse(true);
    proxy.strand();
    Ok(())
}

fn session_stopped(_: &Proxy, _: i32, session: i32) -> anyhow::Result<()> {
    signal(session, Signal::STOP)
}

fn session_killed(_: &Proxy, _: i32, session: i32) -> anyhow::Result<()> {
    signal(session, Signal::KILL)
}

fn front_killed(_: &Proxy, front: i32, _: i32) -> anyhow::Result<()> {
    signal(front, Signal::KILL)
}

fn front_stopped(proxy: &Proxy, front: i32, _: i32) -> anyhow::Result<()> {
    signal(front, Signal::STOP)?;
    block(proxy);
    Ok(())
}

/// The first process of the command ends by itself, and leaves the others behind.
#[cfg(feature = "sabotage")]
fn command_ended(_: &Proxy, front: i32, _: i32) -> anyhow::Result<()> {
    signal(child_named(front, "sh").expect("the command"), Signal::KILL)
}

fn both_killed(_: &Proxy, front: i32, session: i32) -> anyhow::Result<()> {
    signal(session, Signal::STOP)?;
    signal(front, Signal::KILL)?;
    signal(session, Signal::KILL)
}

#[tokio::test]
async fn behind_a_black_hole() -> anyhow::Result<()> {
    ends_in_time(STUBBORN, 2, black_hole).await
}

/// As long as the program lives, what has left the process group is ended as well.
#[tokio::test]
async fn what_has_left_its_group() -> anyhow::Result<()> {
    ends_in_time(WITH_DAEMON, 2, black_hole).await
}

#[tokio::test]
async fn with_no_server_any_more() -> anyhow::Result<()> {
    ends_in_time(STUBBORN, 2, server_gone).await
}

#[tokio::test]
async fn with_a_session_that_is_stopped() -> anyhow::Result<()> {
    ends_in_time(STUBBORN, 2, session_stopped).await
}

#[tokio::test]
async fn with_a_session_that_is_killed() -> anyhow::Result<()> {
    ends_in_time(STUBBORN, 2, session_killed).await
}

#[tokio::test]
async fn with_a_program_that_is_killed() -> anyhow::Result<()> {
    ends_in_time(STUBBORN, 2, front_killed).await
}

#[tokio::test]
async fn with_a_program_that_is_stopped() -> anyhow::Result<()> {
    ends_in_time(STUBBORN, 2, front_stopped).await
}

/// Then only the first process of the command ends, by the kernel.
#[tokio::test]
async fn with_both_killed_its_first_process_ends() -> anyhow::Result<()> {
    ends_in_time("echo $$ > $DIR/all; mv $DIR/all $DIR/pids; while :; do sleep 60; done", 1, both_killed).await
}

/// A pipe that is full, and that nothing reads.
fn full_pipe() -> anyhow::Result<(PipeReader, PipeWriter)> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (reader, mut writer) = std::io::pipe()?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    // Bytes alone: whole pages leave room for a short line.
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    fcntl_setfl(&writer, flags)?;
    Ok((reader, writer))
}

async fn with_full_stderr(without: &str) -> anyhow::Result<(SystemTime, SystemTime)> {
    let (_reader, writer) = full_pipe()?;
    pass_on_as(without, STUBBORN, 2, session_stopped, |command| _ = command.stderr(writer)).await
}

/// What the program says is not worth a command that lives.
#[tokio::test]
async fn with_a_stderr_that_takes_nothing() -> anyhow::Result<()> {
    is_in_time(async || with_full_stderr("").await).await
}

#[cfg(feature = "sabotage")]
mod without {
    use super::*;

    #[tokio::test]
    async fn without_the_clocks_it_lives_on() -> anyhow::Result<()> {
        does_not_end_in_time("FrontClock,SessionKill,News", STUBBORN, 2, black_hole).await
    }

    #[tokio::test]
    async fn without_sigkill_it_lives_on() -> anyhow::Result<()> {
        does_not_end_in_time("Kill", STUBBORN, 2, black_hole).await
    }

    #[tokio::test]
    async fn without_its_group_a_grandchild_lives_on() -> anyhow::Result<()> {
        does_not_end_in_time("Group,Descendants", STUBBORN, 2, black_hole).await
    }

    #[tokio::test]
    async fn without_the_search_what_has_left_its_group_lives_on() -> anyhow::Result<()> {
        does_not_end_in_time("Descendants", WITH_DAEMON, 2, black_hole).await
    }

    #[tokio::test]
    async fn without_the_clock_of_the_program_it_outlives_a_stopped_session() -> anyhow::Result<()> {
        does_not_end_in_time("FrontClock", STUBBORN, 2, session_stopped).await
    }

    #[tokio::test]
    async fn without_the_news_it_outlives_a_killed_session() -> anyhow::Result<()> {
        does_not_end_in_time("FrontClock,News", STUBBORN, 2, session_killed).await
    }

    #[tokio::test]
    async fn without_the_session_it_outlives_a_killed_program() -> anyhow::Result<()> {
        does_not_end_in_time("SessionKill", STUBBORN, 2, front_killed).await
    }

    #[tokio::test]
    async fn without_the_session_it_outlives_a_stopped_program() -> anyhow::Result<()> {
        does_not_end_in_time("SessionKill", STUBBORN, 2, front_stopped).await
    }

    /// A look may miss a process that forks and ends just then: here each misses all. `hopping.rs` has real ones.
    #[tokio::test]
    async fn without_sight_the_sweep_ends_what_is_left() -> anyhow::Result<()> {
        for strike in [front_killed, command_ended] {
            is_in_time(async || pass_on("Sight", STUBBORN, 2, strike).await).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn without_sight_and_sweep_it_outlives_a_killed_program() -> anyhow::Result<()> {
        does_not_end_in_time("Sight,Sweep", STUBBORN, 2, front_killed).await
    }

    #[tokio::test]
    async fn without_sight_and_sweep_it_outlives_its_command() -> anyhow::Result<()> {
        does_not_end_in_time("Sight,Sweep", STUBBORN, 2, command_ended).await
    }

    #[tokio::test]
    async fn without_a_thread_for_it_a_full_stderr_keeps_the_command_alive() -> anyhow::Result<()> {
        let (passed, alive) = with_full_stderr("Aside").await?;
        assert!(alive >= passed, "dead before the lock had passed on");
        Ok(())
    }

    #[tokio::test]
    async fn without_the_kernel_it_outlives_both() -> anyhow::Result<()> {
        let script = "echo $$ > $DIR/all; mv $DIR/all $DIR/pids; while :; do sleep 60; done";
        does_not_end_in_time("DeathSignal", script, 1, both_killed).await
    }
}
