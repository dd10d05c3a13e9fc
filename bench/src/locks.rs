//! Locks: volguard beside the limit (SQL by hand, locks in memory) and beside etcd and Redis.

mod baton;
mod contender;
mod locker;
mod plot;
mod record;
mod report;
mod score;
mod stage;
mod targets;
mod team;
mod turn;

use std::fs;

use anyhow::{Context, Result};

use self::score::{Cell, Score};
use self::stage::Stage;
use self::targets::Target;
use crate::machine;
use crate::options::Options;
use crate::rounds::{Pace, order};

pub use self::contender::Contender;
pub use self::team::Team;
pub use self::turn::{Load, turn};

/// Four contenders use one Postgres, whose connections are limited.
pub const MOST_CLIENTS: usize = 64;

pub async fn run(options: &Options) -> Result<()> {
    let pace = options.pace(5, 1.5);
    let contenders = Contender::all(&options.against);
    let stage = Stage::set(options.fsync, &contenders).await?;
    let (servers, load) = (stage.describe().await?, machine::load()?);
    println!("{}", report::heading(&servers, &contenders, pace));

    let clients = options.clients(&[1, 4, 16, 64]);
    let score = play(&stage, &contenders, &clients, pace).await?;
    let targets = Target::all(&score);
    println!(
        "{}\n\n{}\n",
        report::figures(&score),
        report::targets(&targets)
    );

    let machine = machine::describe()?;
    let record = record::record(&machine, load, &servers, pace, &score, &targets);
    fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let (json, svg) = (
        options.out.join("locks.json"),
        options.out.join("locks.svg"),
    );
    fs::write(&json, format!("{record:#}\n")).with_context(|| json.display().to_string())?;
    plot::plot(&score, &contenders, &machine, &svg)?;
    println!("{} {}", json.display(), svg.display());
    Ok(())
}

async fn play(
    stage: &Stage,
    contenders: &[Contender],
    clients: &[usize],
    pace: Pace,
) -> Result<Score> {
    let most = clients.iter().copied().max().unwrap_or(1);
    let mut teams = Vec::new();
    for &contender in contenders {
        teams.push((contender, Team::connect(contender, stage, most).await?));
    }
    let mut score = Score::default();
    // The round before the first is short and not counted: caches and plans are cold.
    for round in 0..=pace.rounds {
        eprintln!("round {round} of {}", pace.rounds);
        for cell in Cell::all(clients) {
            for at in order(&(0..teams.len()).collect::<Vec<_>>(), round) {
                let (contender, team) = &mut teams[at];
                stage.tidy().await?;
                let time = if round == 0 { pace.turn / 4 } else { pace.turn };
                let turn = turn(team, cell.load, cell.clients, time);
                let turn = turn.await.with_context(|| contender.name())?;
                if round > 0 {
                    score.add(cell, *contender, turn);
                }
            }
        }
    }
    Ok(score)
}
