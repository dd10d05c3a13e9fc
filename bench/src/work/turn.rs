//! Turns: how many operations a contender does in a given time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::contender::{Contender, Worker};
use super::stage::Stage;
use crate::rounds::{Pace, order};

/// The clients of one contender.
type Team = Vec<Arc<Worker>>;

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub per_second: f64,
    /// Processor time of the server's processes for one operation, in microseconds.
    pub server_time: f64,
}

/// The turns of each, one a round, in the order of [`Contender::ALL`].
pub type Turns = [Vec<Turn>; 3];

/// Lets all take turns on the same volumes.
pub async fn turns(stage: &Stage, clients: usize, pace: Pace) -> Result<Turns> {
    let mut teams = Vec::new();
    for contender in Contender::ALL {
        teams.push(team(stage, contender, clients).await?);
    }
    let first = teams[0][0].sample().await?;
    for team in &teams {
        ensure!(team[0].sample().await? == first, "they do not do the same");
    }
    let mut turns = Turns::default();
    // The round before the first is not counted: caches and plans are cold.
    for round in 0..=pace.rounds {
        for at in order(&[0, 1, 2], round) {
            let done = turn(&teams[at], pace.turn).await?;
            if round > 0 {
                turns[at].push(done);
            }
        }
    }
    Ok(turns)
}

async fn team(stage: &Stage, who: Contender, clients: usize) -> Result<Team> {
    let mut team = Team::new();
    for number in 0..clients {
        let volumes = stage.volumes_of(number).to_vec();
        let worker = Worker::prepare(who, stage.connect().await?, number, volumes).await?;
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
        per_second: done as f64 / elapsed.as_secs_f64(),
        server_time: server_time.as_secs_f64() * 1e6 / done as f64,
    })
}

fn server_time(team: &Team) -> Result<Duration> {
    team.iter().map(|worker| worker.server_time()).sum()
}
