//! The lease: how it is counted, and what its end means.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::time::Instant;

use super::super::line::Line;
use super::super::network::Fault;
use super::super::program::{PATIENCE, Program, Said};
use super::super::stage::{Job, Stage};
use super::{Verdict, WORK, is_one_of, seconds};
use crate::scenario::until_within;

/// Work that doesn't come to its write in the time of a check.
const LONG: Job = Job { id: "v1", takes: Duration::from_secs(120), size: 31 };

/// Slow answers first: a lease that is counted from the answer ends too late. Then nothing at all.
pub(super) async fn black_hole(stage: &mut Stage) -> Verdict {
    // A tenth of it is the time in which the program, and this check, may stand still at the end.
    const LEASE: Duration = Duration::from_secs(30);
    let (mut program, service) = stage.registered(LEASE).await?;
    stage.submit(LONG).await?;
    program.begun(LONG.id).await?;
    let slow_since = Instant::now();
    // More than the tenth by which a lease may be counted late, and little enough for a new connection beside it.
    stage.network.delay("heartbeat", LEASE / 5);
    let slow = |call: &super::Call| call.is("heartbeat") && call.succeeded() && call.sent > slow_since;
    stage.until_called("a heartbeat that is answered", slow).await?;
    // The one before is the last that counts: its answer has come by the time that the next is sent.
    let mute_since = Instant::now();
    stage.network.mute("heartbeat");
    stage.until_called("another heartbeat", |call| call.is("heartbeat") && call.sent > mute_since).await?;
    stage.network.block(true);

    let end = format!(
        "SELECT (extract(epoch FROM heartbeat_at + lease) * 1000)::bigint FROM volguard.services
         WHERE service_id = {service}"
    );
    let end = stage.admin.number(&end).await?.context("the service is there")?;
    let lost = program.lost().await?;
    let end = UNIX_EPOCH + Duration::from_millis(end.unsigned_abs());
    let early = end.duration_since(lost.date);
    let early = early.map_err(|late| {
        anyhow::anyhow!("`lost` came {} after the server's end of the lease", seconds(late.duration()))
    })?;
    program.exits_with(3).await?;
    stage.is_unwritten(LONG.id).await?;
    nothing_is_said_after(&program, &lost)?;
    Ok(format!("lost {} before the server's end of the lease of {}", seconds(early), seconds(LEASE)))
}

/// The network works for everything else.
pub(super) async fn heartbeats_stopped(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(12);
    let (mut program, service) = stage.registered(LEASE).await?;
    stage.submit(LONG).await?;
    program.begun(LONG.id).await?;
    stage.network.mute("heartbeat");
    let muted = Instant::now();
    let lost = program.lost().await?;
    program.exits_with(3).await?;
    stops_at(stage, &program, &lost).await?;
    is_repaired(stage, service).await?;
    Ok(format!("lost after {} under a lease of {}", seconds(lost.at - muted), seconds(LEASE)))
}

/// One connection goes dead, and neither end is told.
pub(super) async fn mute_heartbeat(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(12);
    let (program, service) = stage.registered(LEASE).await?;
    stage.network.plan("heartbeat", Fault::Mute);
    stage.struck(1, "heartbeat").await?;
    let dead = stage.network.calls().into_iter().rfind(|call| call.is("heartbeat")).context("it has struck")?;
    let next = |call: &super::Call| call.is("heartbeat") && call.sent > dead.sent && call.succeeded();
    let next = stage.until_called("the next heartbeat", next).await.with_context(|| program.words())?;
    let job = Job { id: "v1", takes: Duration::from_millis(100), size: 32 };
    stage.submit(job).await?;
    stage.done(&program, job).await?;
    ensure!(stage.is_up(service).await?, "the service is not alive any more");
    ensure!(next.connection != dead.connection, "the heartbeat came on the old connection");
    Ok(format!("sent again after {} under a lease of {}", seconds(next.sent - dead.sent), seconds(LEASE)))
}

/// The server would take its writes: no service has cleaned up.
pub(super) async fn paused(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(12);
    let (mut program, service) = stage.registered(LEASE).await?;
    let job = Job { takes: Duration::from_secs(40), ..LONG };
    stage.submit(job).await?;
    program.begun(job.id).await?;
    program.signal_all(Signal::STOP)?;
    // So long that it is over by each clock that goes on, also of a program that counts a lease too long.
    let over = "SELECT heartbeat_at + lease * 1.5 < clock_timestamp() FROM volguard.services WHERE service_id";
    stage.until("the end of the lease", &format!("{over} = {service}")).await?;
    let awake = Instant::now();
    program.signal_all(Signal::CONT)?;
    let lost = program.lost().await?;
    program.exits_with(3).await?;
    stops_at(stage, &program, &lost).await?;
    is_repaired(stage, service).await?;
    Ok(format!("lost {} after SIGCONT", seconds(lost.at - awake)))
}

pub(super) async fn fenced(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(15);
    let (mut program, service) = stage.registered(LEASE).await?;
    stage.submit(LONG).await?;
    program.begun(LONG.id).await?;
    let fence = format!("SELECT volguard.fence_service({service}, 'conformance')");
    ensure!(stage.admin.holds(&fence).await?, "the service was alive");
    let fenced = Instant::now();
    let lost = program.lost().await?;
    program.exits_with(3).await?;
    let refused = |call: &super::Call| call.is("heartbeat") && call.refusal.as_deref() == Some("VG001");
    let refused = stage.network.calls().into_iter().filter(refused).count();
    ensure!(refused <= 1, "it went on after a heartbeat that was refused with VG001: {refused} heartbeats were");
    stops_at(stage, &program, &lost).await?;
    Ok(format!("lost {} after the fence, under a lease of {}", seconds(lost.at - fenced), seconds(LEASE)))
}

/// No word, no call and no write after it said so.
async fn stops_at(stage: &Stage, program: &Program, lost: &Said) -> anyhow::Result<()> {
    nothing_is_said_after(program, lost)?;
    let after = stage.network.calls().into_iter().find(|call| is_one_of(call, WORK) && call.sent > lost.at);
    if let Some(call) = after {
        let late = seconds(call.sent - lost.at);
        anyhow::bail!("it called {} {late} after `lost`", call.verbs.join(", "));
    }
    stage.is_unwritten(LONG.id).await
}

fn nothing_is_said_after(program: &Program, lost: &Said) -> anyhow::Result<()> {
    let after = program.said().into_iter().skip_while(|said| said.line != Line::Lost).nth(1);
    ensure!(after.is_none(), "after `lost` it said {after:?}");
    ensure!(lost.date <= SystemTime::now(), "the date was set back during the check");
    Ok(())
}

/// What it has left stands in nothing's way.
async fn is_repaired(stage: &Stage, service: i64) -> anyhow::Result<()> {
    let up = format!("SELECT state <> 'up' FROM volguard.service_status WHERE service_id = {service}");
    stage.until("the end of its lease", &up).await?;
    let repaired = "SELECT status = 'error_extending' FROM app.volumes WHERE id = 'v1'";
    // A cleanup leaves what another one, or a transaction, has locked.
    until_within(PATIENCE, "the repair of v1", async || {
        stage.admin.run("CALL volguard.run_cleanup()").await?;
        Ok(stage.admin.holds(repaired).await?.then_some(()))
    })
    .await
}
