//! A run from the first process to the verdict.

use super::fleet::Fleet;
use super::stage::{Stage, calm_down};
use super::storm::storm;
use super::{Options, Outcome, Tally};
use crate::history::{History, check, check_numbers};

/// Plays a run.
///
/// # Errors
/// If it could not run to its end: a server that does not start, a client that
/// ends by itself or hangs. The outcome has the offences that the judge finds.
pub async fn play(options: &Options) -> anyhow::Result<Outcome> {
    let mut stage = Stage::build(options).await?;
    let mut fleet = Fleet::start(options, |number, name| stage.url(number, name))?;
    stage.until_at_work(options.clients).await?;
    let faults = storm(options, &mut stage, &mut fleet).await?;
    fleet.recall().await?;
    fleet.drain(|number, name| stage.url(number, name)).await?;
    calm_down(&stage.superuser().await?, options.calm).await?;

    let history = History { calls: fleet.calls()?, journal: stage.journal().await?, endings: Vec::new() };
    let mut offences = check(&history);
    offences.extend(check_numbers(&history.calls));
    let logs = if offences.is_empty() {
        fleet.remove_logs()?;
        None
    } else {
        Some(fleet.dir().to_owned())
    };
    Ok(Outcome { seed: options.seed, processes: fleet.processes(), tally: Tally::of(&history), faults, offences, logs })
}
