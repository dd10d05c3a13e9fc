//! Answers that are lost after their statement was committed, and statements that never arrive.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::super::line::Line;
use super::super::network::Fault;
use super::super::program::Program;
use super::super::stage::{Job, Stage};
use super::{Verdict, seconds};

const LEASE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

pub(super) async fn next_work(stage: &mut Stage) -> Verdict {
    both_faults(stage, "next_work").await
}

pub(super) async fn acquire(stage: &mut Stage) -> Verdict {
    both_faults(stage, "acquire").await
}

pub(super) async fn finish_work(stage: &mut Stage) -> Verdict {
    both_faults(stage, "finish_work").await
}

pub(super) async fn release(stage: &mut Stage) -> Verdict {
    both_faults(stage, "release").await
}

/// One piece of work whose answer of the verb is lost, one whose call is, and one more, which finds nothing in its way.
async fn both_faults(stage: &mut Stage, verb: &'static str) -> Verdict {
    let (program, _) = stage.registered(LEASE).await?;
    stage.network.plan(verb, Fault::LoseAnswer);
    let answer = Job { id: "v1", takes: SHORT, size: 41 };
    stage.submit(answer).await?;
    let after_answer = is_done(stage, &program, answer, verb, 1).await.context("the answer was lost")?;
    stage.network.plan(verb, Fault::LoseCall);
    let call = Job { id: "v2", takes: SHORT, size: 42 };
    stage.submit(call).await?;
    let after_call = is_done(stage, &program, call, verb, 2).await.context("the call was lost")?;
    let last = Job { id: "v3", takes: SHORT, size: 43 };
    stage.submit(last).await?;
    stage.done(&program, last).await.context("after both")?;
    stage.no_lock_is_left().await?;
    Ok(format!("done {} after a lost answer, {} after a lost call", seconds(after_answer), seconds(after_call)))
}

async fn is_done(stage: &Stage, program: &Program, job: Job, verb: &str, faults: usize) -> anyhow::Result<Duration> {
    stage.struck(faults, verb).await.with_context(|| program.words())?;
    let struck = tokio::time::Instant::now();
    stage.done(program, job).await?;
    stage.no_lock_is_left().await?;
    let other = program.count(|line| matches!(line, Line::Refused(_) | Line::Lost | Line::Other(_)));
    ensure!(other == 0, "{}", program.words());
    Ok(struck.elapsed())
}
