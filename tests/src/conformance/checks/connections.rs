//! Connections that break.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::super::line::Line;
use super::super::program::Program;
use super::super::stage::{Job, Stage};
use super::{Verdict, seconds};

const LEASE: Duration = Duration::from_secs(30);

/// The work comes before the server knows of the break: so the call whose connection is gone gets it, after the program
/// has given back what that call may have taken.
pub(super) async fn cut_while_waiting(stage: &mut Stage) -> Verdict {
    let (program, service) = stage.registered(LEASE).await?;
    let waits = |call: &super::Call| call.is("next_work") && call.answered.is_none();
    let gone = stage.until_called("a call of next_work", waits).await?;
    stage.network.hold("next_work");
    stage.network.hang_up();
    let cut = tokio::time::Instant::now();
    let next = |call: &super::Call| call.is("next_work") && call.sent > cut;
    stage.until_called("another call of next_work", next).await.with_context(|| program.words())?;
    let job = Job { id: "v1", takes: Duration::from_millis(200), size: 51 };
    stage.submit(job).await?;
    let ended = |call: &super::Call| call.sent == gone.sent && call.answered.is_some();
    stage.until_called("the end of the call whose connection is gone", ended).await?;
    stage.network.let_go();
    stage.done(&program, job).await?;
    let took = cut.elapsed();
    goes_on(stage, &program, service).await?;
    Ok(format!("the next piece was done {} after the cut", seconds(took)))
}

pub(super) async fn cut_while_working(stage: &mut Stage) -> Verdict {
    let (program, service) = stage.registered(LEASE).await?;
    let job = Job { id: "v1", takes: Duration::from_secs(8), size: 52 };
    stage.submit(job).await?;
    program.begun(job.id).await?;
    stage.network.cut();
    stage.done(&program, job).await?;
    goes_on(stage, &program, service).await?;
    Ok("the piece was done".to_owned())
}

pub(super) async fn restart(stage: &mut Stage) -> Verdict {
    let (program, service) = stage.registered(LEASE * 2).await?;
    stage.until_called("a call of next_work", |call| call.is("next_work")).await?;
    let own = stage.own.as_mut().context("this check has a server of its own")?;
    let away = tokio::time::Instant::now();
    own.server.stop().and_then(|()| own.server.restart())?;
    let away = away.elapsed();
    stage.reconnect().await?;
    let job = Job { id: "v1", takes: Duration::from_millis(200), size: 53 };
    stage.submit(job).await?;
    stage.done(&program, job).await?;
    goes_on(stage, &program, service).await?;
    Ok(format!("the server was away for {}", seconds(away)))
}

/// It is the same service, and holds nothing.
async fn goes_on(stage: &Stage, program: &Program, service: i64) -> anyhow::Result<()> {
    stage.no_lock_is_left().await?;
    let registered = program.count(|line| matches!(line, Line::Registered(_)));
    ensure!(registered == 1, "it has registered {registered} times");
    ensure!(stage.is_up(service).await?, "the service is not alive any more");
    Ok(())
}
