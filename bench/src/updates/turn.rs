//! Turns: how many updates a contender does in a given time.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::case::Case;
use super::contender::{Contender, Form, Worker};
use crate::rounds::{Pace, order};
use crate::stage::Stage;
use crate::turn::{Turn, turn};

/// The clients of one contender.
type Team = Vec<Arc<Worker>>;

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
