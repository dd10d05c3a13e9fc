//! An operator takes the lock away, or fences its service, while the command runs.

use crate::support::{Database, Processes, Program, run};
use volguard_tests::scenario::until;

/// A command that minds no SIGTERM, and ends when the test says so.
const PATIENT: &str = "trap '' TERM; echo $$ > $DIR/all; mv $DIR/all $DIR/pids; \
    until [ -e $DIR/done ]; do sleep 0.05; done; exit 4";

async fn freed(without: &str) -> anyhow::Result<(Database, Program, Processes)> {
    let database = Database::new().await?;
    let program = Program::start(&database.url(), &["--lease", "12s"], without, PATIENT)?;
    let processes = Processes::of(&program, 1).await?;
    let done = run(&database.url(), &["free", "volume/v-1", "--reason", "test"]).await?;
    assert_eq!(done.status.code(), Some(0));
    Ok((database, program, processes))
}

#[tokio::test]
async fn a_lock_that_is_taken_away_ends_the_command() -> anyhow::Result<()> {
    let (_database, mut program, processes) = freed("").await?;
    let (code, told) = program.code().await?;
    assert_eq!(code, Some(113), "{told}");
    assert!(told.contains("volguard: lost: the server says that the token is not held"), "{told}");
    assert!(!processes.any_alive());
    Ok(())
}

#[cfg(feature = "sabotage")]
#[tokio::test]
async fn without_asking_again_the_command_goes_on() -> anyhow::Result<()> {
    let (database, mut program, processes) = freed("AskAgain").await?;
    // Two more heartbeats: the session has talked to the server, and has not asked about its lock.
    for _ in 0..2 {
        let look = "SELECT (extract(epoch FROM max(heartbeat_at)) * 1e6)::bigint FROM volguard.service_status";
        let before = database.number(look).await?;
        until("a heartbeat", async || Ok((database.number(look).await? > before).then_some(()))).await?;
    }
    assert!(processes.any_alive());
    std::fs::write(program.dir.join("done"), "")?;
    // In the end it is told all the same.
    let (code, told) = program.code().await?;
    assert_eq!(code, Some(113), "{told}");
    assert!(told.contains("taken away before the command had ended"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_fenced_ends_the_command() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mut program = Program::start(&database.url(), &["--lease", "12s"], "", PATIENT)?;
    let processes = Processes::of(&program, 1).await?;
    let fence = "SELECT volguard.fence_service(service_id, 'test') FROM volguard.service_status WHERE state = 'up'";
    database.sql.run(fence).await?;
    let (code, told) = program.code().await?;
    assert!(code == Some(113) && told.contains("fenced"), "{told}");
    assert!(!processes.any_alive());
    Ok(())
}

/// SIGTERM comes while there is time to put things in order, and what came of it does not hide the loss.
#[tokio::test]
async fn a_command_may_put_things_in_order_before_the_end() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let proxy = volguard_tests::scenario::Proxy::in_front_of(crate::support::port()).await?;
    let script = "trap 'echo done > $DIR/order; exit 0' TERM; touch $DIR/runs; while :; do sleep 0.1; done";
    let mut program =
        Program::start(&database.by_port(proxy.port()), &["--lease", "20s", "--grace", "8s"], "", script)?;
    until("the command", async || Ok(program.said("runs"))).await?;
    proxy.refuse(true);
    proxy.strand();
    let (code, told) = program.code().await?;
    assert_eq!(code, Some(113), "{told}");
    assert!(told.contains("no heartbeat has succeeded in time: SIGTERM to the command"), "{told}");
    assert_eq!(program.said("order").as_deref(), Some("done\n"), "{told}");
    Ok(())
}

/// What the command leaves behind in its group would go on without the lock.
#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = "(trap '' TERM; while :; do sleep 0.1; done) & echo $! > $DIR/all; mv $DIR/all $DIR/pids; exit 6";
    let mut program = Program::start(&database.url(), &["--lease", "12s", "--grace", "1s"], "", script)?;
    let processes = Processes::of(&program, 1).await?;
    let (code, told) = program.code().await?;
    assert_eq!((code, told.as_str()), (Some(6), ""));
    assert!(!processes.any_alive());
    assert_eq!(database.token("v-1").await?, None);
    Ok(())
}
