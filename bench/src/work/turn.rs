//! Turns: how many operations a contender does in a given time.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::contender::{Contender, Worker};
use crate::rounds::{Pace, order};
use crate::stage::Stage;
use crate::turn::{Turn, turn};

/// The clients of one contender.
type Team = Vec<Arc<Worker>>;

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
