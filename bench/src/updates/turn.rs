//! Turns: how many updates a contender does in a given time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::case::Case;
use super::contender::{Contender, Form, Worker};
use super::stage::Stage;
use crate::rounds::{Pace, order};

/// The clients of one contender.
type Team = Vec<Arc<Worker>>;

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub updates_per_second: f64,
    /// Processor time of the server's processes, in microseconds. What else the machine does leaves it as it is.
    pub server_time_per_update: f64,
}

/// The turns of the two, one a round.
#[derive(Debug)]
pub struct Pair {
    pub by_hand: Vec<Turn>,
    pub ours: Vec<Turn>,
}

/// Lets the two take turns on the same rows. Whoever begins changes with the round.
pub async fn pair(
    stage: &Stage,
    case: Case,
    form: Form,
    clients: usize,
    pace: Pace,
) -> Result<Pair> {
    let case = Arc::new(case);
    let by_hand = team(stage, Contender::ByHand, &case, clients).await?;
    let ours = team(stage, Contender::Ours(form), &case, clients).await?;
    ensure!(
        by_hand[0].sample().await? == ours[0].sample().await?,
        "they do not do the same"
    );
    let mut pair = Pair {
        by_hand: Vec::new(),
        ours: Vec::new(),
    };
    // The round before the first is not counted: caches and plans of both are cold.
    for round in 0..=pace.rounds {
        for contender in order(&[Contender::ByHand, Contender::Ours(form)], round) {
            let (team, turns) = match contender {
                Contender::ByHand => (&by_hand, &mut pair.by_hand),
                Contender::Ours(_) => (&ours, &mut pair.ours),
            };
            let done = turn(team, pace.turn).await?;
            if round > 0 {
                turns.push(done);
            }
        }
    }
    Ok(pair)
}

async fn team(stage: &Stage, who: Contender, case: &Arc<Case>, clients: usize) -> Result<Team> {
    let mut team = Team::new();
    for number in 0..clients {
        let volumes = stage.volumes_of(number).to_vec();
        let worker =
            Worker::prepare(who, stage.connect().await?, Arc::clone(case), volumes).await?;
        team.push(Arc::new(worker));
    }
    Ok(team)
}

async fn turn(team: &Team, time: Duration) -> Result<Turn> {
    let (start, before) = (Instant::now(), server_time(team)?);
    let mut running = JoinSet::new();
    for worker in team {
        let worker = Arc::clone(worker);
        running.spawn(async move { worker.work_until(start + time).await });
    }
    let mut done = 0;
    while let Some(result) = running.join_next().await {
        done += result??;
    }
    let (elapsed, server_time) = (start.elapsed(), server_time(team)? - before);
    Ok(Turn {
        updates_per_second: done as f64 / elapsed.as_secs_f64(),
        server_time_per_update: server_time.as_secs_f64() * 1e6 / done as f64,
    })
}

fn server_time(team: &Team) -> Result<Duration> {
    team.iter().map(|worker| worker.server_time()).sum()
}
