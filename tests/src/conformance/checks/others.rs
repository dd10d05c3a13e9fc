//! What others do: operators, and managers that die.

use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::super::line::Line;
use super::super::stage::{HOST, Job, Stage};
use super::{Verdict, seconds};

/// An operator takes the lock away, and another manager gets the work.
pub(super) async fn refused(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(15);
    let (program, service) = stage.registered(LEASE).await?;
    let other = stage.admin.register("other", LEASE * 8).await?;
    let job = Job { id: "v1", takes: Duration::from_secs(10), size: 61 };
    stage.submit(job).await?;
    let (piece, begun) = program.begun(job.id).await?;
    // In one transaction, so that the program does not get it again.
    let take = format!(
        "SELECT volguard.force_release({}, 'conformance'); SELECT token FROM volguard.next_work({other})",
        piece.token
    );
    let rows = stage.admin.rows(&take).await?;
    let token = rows.last().and_then(|row| row.first()?.clone()).context("next_work")?;
    let wanted = |line: &Line| *line == Line::Refused(piece.clone());
    let said = program.until(&format!("refused {} v1", piece.token), wanted).await?;
    stage.is_unwritten(job.id).await?;
    ensure!(program.count(|line| line.ends(job.id)) == 0, "it said that the piece has ended");
    let finish = format!(
        "SELECT (volguard.finish_work({token}, '{{\"status\": \"available\"}}', target => 'app.volumes')).outcome"
    );
    ensure!(stage.admin.text(&finish).await?.as_deref() == Some("updated"), "the other manager could not finish");

    let next = Job { id: "v2", takes: Duration::from_millis(100), size: 62 };
    stage.submit(next).await?;
    stage.done(&program, next).await.context("the next piece")?;
    stage.no_lock_is_left().await?;
    ensure!(stage.is_up(service).await?, "the service is not alive any more");
    Ok(format!("refused {} after its begin", seconds(said.at - begun)))
}

/// Two programs: the first is killed at work.
pub(super) async fn repairs(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(12);
    let retry = "SELECT volguard.on_crash('volume', 'extending', '{\"status\": \"error_extending\"}', retry => 3)";
    stage.admin.run("SET ROLE manager").await?;
    stage.admin.run(retry).await?;
    stage.admin.run("RESET ROLE").await?;
    let killed = stage.program("node-2", LEASE)?;
    let service = killed.registered().await?;
    let job = Job { id: "v1", takes: Duration::from_secs(6), size: 63 };
    stage.submit(job).await?;
    killed.begun(job.id).await?;
    killed.signal_all(Signal::KILL)?;
    ensure!(killed.count(|line| line.ends(job.id)) == 0, "the piece ended too early to kill its manager");

    let program = stage.program(HOST, LEASE)?;
    let down = format!("SELECT state <> 'up' FROM volguard.service_status WHERE service_id = {service}");
    stage.until("the end of the lease", &down).await?;
    let dead = tokio::time::Instant::now();
    let (_, begun) = program.begun(job.id).await?;
    stage.done(&program, job).await?;
    stage.no_lock_is_left().await?;
    let after = begun.saturating_duration_since(dead);
    Ok(format!("begun again {} after the end of the other's lease of {}", seconds(after), seconds(LEASE)))
}
