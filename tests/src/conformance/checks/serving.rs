//! What a program does when nothing goes wrong.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::super::line::Line;
use super::super::stage::{HOST, Job, Stage};
use super::{CLEANUP, GIVES_BACK, Verdict, WORK, is_one_of, seconds};

const LEASE: Duration = Duration::from_secs(20);

pub(super) async fn serves(stage: &mut Stage) -> Verdict {
    let (program, service) = stage.registered(LEASE).await?;
    let other = stage.admin.register("other", LEASE * 4).await?;
    let taken = format!("SELECT volguard.acquire({other}, 'manager-log', '{HOST}')");
    let taken = stage.admin.number(&taken).await?.context("manager-log is free")?;
    let first = Job { id: "v1", takes: Duration::from_secs(3), size: 11 };
    stage.submit(first).await?;
    let waits = "SELECT count(*) > 0 FROM volguard.waiters WHERE resource_type = 'manager-log'";
    stage.until("a wait for the lock of manager-log", waits).await.with_context(|| program.words())?;
    // Before its work begins. That it has begun may be read late.
    let free = tokio::time::Instant::now();
    stage.admin.release(taken).await?;

    let (piece, _) = program.begun(first.id).await?;
    let held = format!(
        "SELECT count(*) FILTER (WHERE resource_type = 'volume' AND resource_id = 'v1' AND token = {})
              + count(*) FILTER (WHERE resource_type = 'manager-log' AND resource_id = '{HOST}') = 2
             AND count(*) = count(request_id) AND count(*) = 2
         FROM volguard.workers WHERE service_id = {service}",
        piece.token
    );
    ensure!(
        stage.admin.holds(&held).await?,
        "at work it does not hold just the volume and its manager-log, each under a request id"
    );
    let ended = program.ended(first.id).await?;
    let took = ended.at - free;
    ensure!(took >= first.takes, "{} of work were done in {}", seconds(first.takes), seconds(took));
    stage.done(&program, first).await?;
    let expected = ["extending 11", "available 11"];
    let writes = stage.writes(first.id).await?;
    ensure!(writes == expected, "it has written {writes:?} and not {expected:?}");

    let more = ["v2", "v3", "v4"].map(|id| Job { id, takes: Duration::from_millis(100), size: 12 });
    for job in more {
        stage.submit(job).await?;
    }
    for job in more {
        stage.done(&program, job).await?;
    }
    stage.no_lock_is_left().await?;
    let said = program.said();
    let other = said.iter().find(|said| matches!(said.line, Line::Other(_) | Line::Refused(_) | Line::Lost));
    ensure!(other.is_none(), "it said {other:?}");
    Ok(format!("4 pieces, the first in {}", seconds(took)))
}

pub(super) async fn heartbeat(stage: &mut Stage) -> Verdict {
    const LEASE: Duration = Duration::from_secs(12);
    let (program, service) = stage.registered(LEASE).await?;
    let start = tokio::time::Instant::now();
    // It waits for more than a lease, and works for more than one.
    let beaten = |stage: &Stage| stage.network.calls().iter().filter(|call| call.is("heartbeat")).count();
    tokio::time::sleep(LEASE + LEASE / 4).await;
    let waiting = beaten(stage);
    let job = Job { id: "v1", takes: LEASE + LEASE / 4, size: 21 };
    stage.submit(job).await?;
    program.begun(job.id).await?;
    let before = beaten(stage);
    stage.done(&program, job).await?;
    let working = beaten(stage) - before;
    ensure!(stage.is_up(service).await?, "the service is not alive at the end");
    ensure!(program.count(|line| *line == Line::Lost) == 0, "it was lost");

    let calls = stage.network.calls();
    let sent: Vec<_> = calls.iter().filter(|call| call.is("heartbeat") && call.succeeded()).collect();
    let mean = start.elapsed().div_f64(sent.len().max(1) as f64);
    ensure!(mean <= LEASE / 2, "a heartbeat each {} under a lease of {}", seconds(mean), seconds(LEASE));
    ensure!(waiting >= 2 && working >= 2, "{waiting} heartbeats while it waited, {working} while it worked");
    let connections: HashSet<usize> = sent.iter().map(|call| call.connection).collect();
    let mut shared = calls.iter().filter(|call| connections.contains(&call.connection));
    let shared = shared.find(|call| [WORK, GIVES_BACK, CLEANUP].iter().any(|verbs| is_one_of(call, verbs)));
    if let Some(call) = shared {
        anyhow::bail!("the connection of the heartbeats carries {}, too", call.verbs.join(", "));
    }
    Ok(format!("{} heartbeats, one each {}", sent.len(), seconds(mean)))
}
