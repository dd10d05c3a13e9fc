//! SIGTERM.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use tokio::time::Instant;

use super::super::line::Line;
use super::super::program::Program;
use super::super::stage::{Job, Stage};
use super::{Verdict, seconds};

const LEASE: Duration = Duration::from_secs(20);

pub(super) async fn at_work(stage: &mut Stage) -> Verdict {
    let (mut program, service) = stage.registered(LEASE).await?;
    let job = Job { id: "v1", takes: Duration::from_secs(6), size: 71 };
    stage.submit(job).await?;
    program.begun(job.id).await?;
    stage.submit(Job { id: "v2", takes: Duration::from_millis(100), size: 72 }).await?;
    let took = leaves(stage, &mut program, service).await?;
    ensure!(program.count(|line| line.begins("v2")) == 0, "it began another piece after SIGTERM");
    let ended = program.count(|line| line.ends(job.id)) == 1;
    let expected = if ended { "status = 'available'" } else { "status = 'extending'" };
    let waiting = if ended { 1 } else { 2 };
    let left = format!(
        "SELECT {expected} AND (SELECT count(*) = {waiting} FROM volguard.workers WHERE service_id IS NULL)
         FROM app.volumes WHERE id = 'v1'"
    );
    ensure!(stage.admin.holds(&left).await?, "the piece is neither done nor back in the queue");
    let how = if ended { "ended" } else { "gave back" };
    Ok(format!("{how} the piece and left in {}", seconds(took)))
}

pub(super) async fn while_waiting(stage: &mut Stage) -> Verdict {
    let (mut program, service) = stage.registered(LEASE).await?;
    let waits = |call: &super::Call| call.is("next_work") && call.answered.is_none();
    stage.until_called("a call of next_work", waits).await?;
    let took = leaves(stage, &mut program, service).await?;
    Ok(format!("left in {}", seconds(took)))
}

/// It can't deregister, so its lease ends first.
pub(super) async fn cut_off(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(10);
    let (mut program, service) = stage.registered(LEASE).await?;
    stage.until_called("a call of next_work", |call| call.is("next_work")).await?;
    stage.network.block(true);
    program.signal(Signal::TERM)?;
    let asked = Instant::now();
    let status = program.exit().await?;
    let took = asked.elapsed();
    let stopped = program.count(|line| *line == Line::Stopped) > 0;
    ensure!(!stopped, "it said `stopped`, but the service is still registered; alive: {}", stage.is_up(service).await?);
    ensure!(program.count(|line| *line == Line::Lost) == 1, "it ended without `lost`; {}", program.words());
    ensure!(status.code() == Some(3), "{status} instead of exit code 3; {}", program.words());
    ensure!(took < LEASE * 2, "it took {} under a lease of {}", seconds(took), seconds(LEASE));
    Ok(format!("lost {} after SIGTERM, under a lease of {}", seconds(took), seconds(LEASE)))
}

/// Within its lease, and leaves nothing.
async fn leaves(stage: &Stage, program: &mut Program, service: i64) -> anyhow::Result<Duration> {
    program.signal(Signal::TERM)?;
    let asked = Instant::now();
    program.exits_with(0).await?;
    let took = asked.elapsed();
    ensure!(took < LEASE, "it took {} under a lease of {}", seconds(took), seconds(LEASE));
    ensure!(program.count(|line| *line == Line::Stopped) == 1, "it ended without `stopped`; {}", program.words());
    let gone = format!("SELECT count(*) = 0 FROM volguard.services WHERE service_id = {service} AND fenced_at IS NULL");
    ensure!(stage.admin.holds(&gone).await?, "the service is still registered");
    stage.no_lock_is_left().await?;
    Ok(took)
}
