//! The plot: sets the scene, lets the managers work, injects the faults, and has the outcome judged.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use volguard::Volguard;
use volguard_tests::history::check;
use volguard_tests::time::now;

use crate::api::Api;
use crate::fault::{Fault, Faults};
use crate::fleet::{Fleet, MANAGERS};
use crate::notice::{Notice, Notices};
use crate::options::{Guard, Plan};
use crate::storage::Storage;
use crate::timeline::Timeline;
use crate::{database, evidence, report, schema};

/// Plays it, prints the report, and says how many violations there were.
pub async fn run(plan: Plan) -> Result<usize> {
    let directory = tempfile::Builder::new().prefix("volguard-demo-").tempdir()?;
    let volguard = database::connect("director").await?;
    let session = schema::create(&volguard).await?;
    let played = tokio::select! {
        played = play(&plan, &volguard, directory.path()) => played,
        interrupted = interruption() => interrupted,
    };
    // However it ended: a database of the user's own is left as it was.
    session.stop().await?;
    schema::drop(&volguard).await?;
    let violations = played?;
    if violations > 0 {
        println!("The files are kept: {}", directory.keep().display());
    }
    Ok(violations)
}

async fn play(plan: &Plan, volguard: &Volguard, directory: &Path) -> Result<usize> {
    Storage::make(directory)?;
    let began = now();
    let timeline = Timeline::new("director", began);
    let (operations, seed) = (plan.operations, plan.seed);
    timeline.say(&format!("{operations} operations, seed {seed}, storage {}", directory.display()));
    let notices = Notices::listen(timeline.clone()).await?;
    let api = Api::new(database::connect("api").await?, notices.clone());
    let fleet = Fleet::start(plan, directory, began)?;
    let faults = Faults { volguard, directory, fleet: &fleet, notices: &notices, timeline: &timeline };
    let faults = tokio::select! {
        faults = perform(plan, &api, &faults) => Some(faults?),
        ended = fleet.watch() => { ended?; None }
        followed = follow(plan, notices.clone(), &timeline) => { followed?; None }
        () = sleep(limit(plan)) => None,
    };
    fleet.kill().await?;
    let history = evidence::read(volguard, directory, faults.as_deref()).await?;
    let offences = check(&history);
    let faults = faults.unwrap_or_default();
    let (tally, notices) = (api.tally().clone(), notices.after(0));
    let mistakes = tally.mistakes(&notices);
    report::print(&tally, &faults, &notices, &history);
    report::print_mistakes(&tally, &mistakes);
    report::print_offences(&offences);
    let (violations, seconds) = (offences.len() + mistakes.len(), timeline.seconds());
    println!("{violations} violations, in {seconds:.1} s (seed {seed}).");
    Ok(violations)
}

/// Everything that has to happen, until all managers have left in order.
async fn perform(plan: &Plan, api: &Api, faults: &Faults<'_>) -> Result<Vec<Fault>> {
    // Without locks there is nothing to recover a fault by.
    let faultless = plan.broken == Some(Guard::Lock);
    let (enough, is_enough) = watch::channel(faultless);
    let script = async {
        let done = match faultless {
            true => Vec::new(),
            false => disturb(plan, faults).await?,
        };
        enough.send_replace(true);
        Ok(done)
    };
    let ((), done) = tokio::try_join!(api.serve(plan, is_enough), script)?;
    faults.fleet.stop().await?;
    Ok(done)
}

async fn disturb(plan: &Plan, faults: &Faults<'_>) -> Result<Vec<Fault>> {
    let mut victims = MANAGERS;
    fastrand::Rng::with_seed(plan.seed).shuffle(&mut victims);
    let ended = |heard: &[Notice]| heard.iter().filter(|notice| notice.is_end()).count() as u64;
    let after = async |part: u64| faults.notices.wait_until(|heard| ended(heard) >= plan.operations * part / 8).await;
    after(1).await?;
    let retried = faults.kill(victims[0], |volume| volume.task.is_repeatable()).await?;
    after(2).await?;
    let rolled_back = faults.kill(victims[1], |volume| !volume.task.is_repeatable()).await?;
    after(3).await?;
    let paused = faults.pause(victims[2]).await?;
    Ok(vec![retried, rolled_back, paused])
}

/// Tells what crash rules do, how far it is, and with `--verbose` every change of a status.
async fn follow(plan: &Plan, mut notices: Notices, timeline: &Timeline) -> Result<()> {
    let (mut told, mut ended) = (0, 0);
    loop {
        notices.changed().await?;
        for notice in notices.after(told) {
            told += 1;
            if plan.verbose || notice.crashed {
                timeline.say(&notice.to_string());
            }
            ended += u64::from(notice.is_end());
            if notice.is_end() && ended % 50 == 0 {
                timeline.say(&format!("{ended} pieces of work have come to their end"));
            }
        }
    }
}

/// Beyond this something is stuck, and the report says what.
fn limit(plan: &Plan) -> Duration {
    match plan.broken {
        // Managers without locks may get into each other's way for ever.
        Some(Guard::Lock) => Duration::from_secs(10),
        _ => Duration::from_secs(180) + Duration::from_millis(250 * plan.operations),
    }
}

async fn interruption() -> Result<usize> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => bail!("ended by SIGINT"),
        _ = terminate.recv() => bail!("ended by SIGTERM"),
    }
}
