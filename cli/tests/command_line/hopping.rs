//! A command that is never where one looks: each of its processes forks and ends at once. It must end with its lock all
//! the same.

use crate::support::{Database, Program, run};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::time::{Duration, SystemTime};
use volguard_tests::scenario::{acquire, until};

/// Each of its processes writes to `beat`, and minds no SIGTERM. It ends by itself some day.
const HOP: &str = r#"$SIG{TERM} = "IGNORE"; $end = time + 100;
    while (time < $end) { exit if fork; open F, ">$ENV{DIR}/beat"; print F 1; close F; }"#;

/// In the group of the command, or in a session of its own.
fn script(is_stray: bool, then: &str) -> String {
    let tell = "echo $$ > $DIR/all; mv $DIR/all $DIR/group";
    let wait = "until [ -s $DIR/beat ]; do sleep 0.05; done";
    match is_stray {
        false => format!("{tell}; perl -e '{HOP}' & {wait}; {then}"),
        true => format!("export HOP='{HOP}'; setsid sh -c '{tell}; perl -e \"$HOP\"' & {wait}; {then}"),
    }
}

/// Ended when it is dropped.
struct Hopper {
    database: Database,
    program: Program,
    group: Pid,
}

impl Hopper {
    /// After it has begun, the shell that has started it runs `then`.
    async fn start(then: &str) -> anyhow::Result<Hopper> {
        Hopper::run(&script(false, then)).await
    }

    async fn run(script: &str) -> anyhow::Result<Hopper> {
        let database = Database::new().await?;
        let program = Program::start(&database.url(), &["--lease", "15s", "--grace", "5s"], "", script)?;
        let group = until("its group", async || Ok(program.said("group"))).await?;
        let group = Pid::from_raw(group.trim().parse()?).expect("a process");
        until("its beat", async || Ok(program.said("beat"))).await?;
        Ok(Hopper { database, program, group })
    }

    /// When another service gets the lock.
    async fn pass_on(&self) -> anyhow::Result<SystemTime> {
        let rival = self.database.another().await?;
        let service = rival.register("rival", Duration::from_secs(60)).await?;
        let took = acquire(service, "v-1", Duration::from_secs(60));
        anyhow::ensure!(rival.number(&took).await?.is_some(), "the lock never passed on");
        let since = "SELECT (extract(epoch FROM acquired_at) * 1e6)::bigint FROM volguard.lock_status";
        Ok(SystemTime::UNIX_EPOCH + Duration::from_micros(self.database.number(since).await?.unsigned_abs()))
    }

    fn beats_after(&self, time: SystemTime) -> anyhow::Result<bool> {
        Ok(std::fs::metadata(self.program.dir.join("beat"))?.modified()? > time)
    }

    /// A program that is killed leaves the command to its session.
    async fn kill_program(&mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_raw(self.program.pid()).expect("a process"), Signal::KILL)?;
        self.program.end().await?;
        Ok(())
    }

    async fn is_dead_in_time(&self) -> anyhow::Result<()> {
        let passed = self.pass_on().await?;
        // Some hundred beats of what lives.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!self.beats_after(passed)?, "it lives on");
        Ok(())
    }
}

impl Drop for Hopper {
    fn drop(&mut self) {
        // To the whole group: the kernel misses none.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

#[tokio::test]
async fn it_ends_with_a_program_that_is_killed() -> anyhow::Result<()> {
    let mut hopper = Hopper::start("sleep 1000").await?;
    hopper.kill_program().await?;
    hopper.is_dead_in_time().await
}

#[tokio::test]
async fn it_ends_with_the_command_that_has_left_it_behind() -> anyhow::Result<()> {
    let mut hopper = Hopper::start("exit 5").await?;
    assert_eq!(hopper.program.code().await?.0, Some(5));
    hopper.is_dead_in_time().await
}

#[tokio::test]
async fn in_a_session_of_its_own_it_ends_with_a_lost_lock() -> anyhow::Result<()> {
    let mut hopper = Hopper::run(&script(true, "sleep 1000")).await?;
    let free = run(&hopper.database.url(), &["free", "volume/v-1", "--reason", "test"]).await?;
    assert_eq!(free.status.code(), Some(0));
    let (code, told) = hopper.program.code().await?;
    assert_eq!(code, Some(113), "{told}");
    hopper.is_dead_in_time().await
}
