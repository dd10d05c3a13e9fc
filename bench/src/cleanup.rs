//! What it costs to clean up after crashed services: by `cleanup`, by the bare SQL that does the same, and row by row.

mod contender;
mod report;
mod stage;

use anyhow::Result;

use self::contender::Contender;
use self::report::Report;
use self::stage::Stage;
use crate::options::Options;
use crate::rounds::order;

pub async fn run(options: &Options) -> Result<()> {
    let rounds = options.pace(3, 1.0).rounds;
    let stage = Stage::set(options.fsync, options.crashed).await?;
    let mut report = Report::default();
    // The round before the first is not counted: caches are cold.
    for round in 0..=rounds {
        for contender in order(&Contender::ALL, round) {
            eprintln!("round {round} of {rounds}: {}", contender.name());
            let turn = stage.turn(contender).await?;
            if round > 0 {
                report.add(contender, turn);
            }
        }
    }
    println!(
        "{}\n{}",
        stage.describe().await?,
        report.describe(rounds, options.crashed)
    );
    println!("{}\n", report.table());
    Ok(())
}
