//! Sets the scene, lets the play run, and judges it.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use volguard::Volguard;

use crate::api::{Api, Closings};
use crate::audience::Audience;
use crate::cast::Cast;
use crate::check::{self, Ledger, Shelf};
use crate::database;
use crate::event::Event;
use crate::fault::{Aftermath, Faults, Zombie};
use crate::options::{Plan, Sabotage};
use crate::report::Report;
use crate::schema::{CLUSTER, Schema};
use crate::storage::Storage;
use crate::timeline::Timeline;
use crate::verdict::Verdict;

/// What the faults came to.
#[derive(Debug, Default)]
pub struct Drama {
    pub aftermaths: Vec<Aftermath>,
    pub zombie: Option<Zombie>,
}

/// Plays it, prints the report, and says how many violations there were.
pub async fn run(plan: Plan) -> Result<usize> {
    let directory = Directory::open(plan.directory.as_deref())?;
    let volguard = database::connect("director", 8).await?;
    let name = format!("director-{}", std::process::id());
    let registration = volguard.register(&name, "demo").cluster(CLUSTER);
    let session = registration.start().await?;
    let schema = Schema::make(&volguard, &session).await?;
    let played = tokio::select! {
        played = play(&plan, &volguard, directory.path()) => played,
        signal = interruption() => Err(signal?),
    };
    // However it ended: a database of the user's own is to be left as it was.
    let dropped = schema.drop().await;
    let violations = played?;
    dropped?;
    session.stop().await?;
    if violations > 0 {
        println!("The files are kept: {}", directory.keep().display());
    }
    Ok(violations)
}

async fn play(plan: &Plan, volguard: &Volguard, directory: &Path) -> Result<usize> {
    let storage = Storage::new(directory, plan.latency, true);
    storage.layout().make()?;
    let timeline = Rc::new(Timeline::new(plan.operations, plan.verbose));
    let audience = Audience::new(Rc::clone(&timeline));
    let closings = Closings::listen().await?;
    let api = Api::new(database::connect("api", 16).await?, closings.clone());
    let (sender, mut heard) = mpsc::unbounded_channel();
    let cast = Cast::assemble(plan, directory, sender)?;
    let faults = Faults {
        volguard,
        storage: &storage,
        cast: &cast,
        audience: &audience,
        timeline: Rc::clone(&timeline),
        closings,
    };
    let sabotage = plan
        .sabotage
        .map(|sabotage| format!(", without the {sabotage}"));
    timeline.say(
        "director",
        &format!(
            "{} operations, {} managers, seed {}, lease {:?}, storage {}{}",
            plan.operations,
            plan.managers,
            plan.seed,
            plan.lease,
            directory.display(),
            sabotage.unwrap_or_default()
        ),
    );
    let drama = tokio::select! {
        drama = perform(plan, &api, &faults) => Some(drama?),
        ended = audience.listen(&mut heard, &cast) => { ended?; None }
        () = follow(&api, &timeline) => None,
        () = sleep(limit(plan)) => None,
    };
    timeline.close();
    cast.kill().await?;
    let ledger = Ledger::read(volguard).await?;
    let shelf = Shelf::read(storage.layout())?;
    let report = Report {
        tally: api.tally(),
        audience: &audience,
        ledger: &ledger,
        drama: drama.as_ref(),
        plan,
        elapsed: timeline.elapsed(),
    };
    let verdict = Verdict::over(&report, check::all(&ledger, &shelf));
    report.print(&verdict);
    Ok(verdict.violations())
}

/// All that has to happen, until every manager has stopped in order.
async fn perform(plan: &Plan, api: &Api, faults: &Faults<'_>) -> Result<Drama> {
    everybody_is_up(plan.managers, faults.audience).await?;
    // Without locks there is nothing to recover a fault by.
    let faultless = plan.sabotage == Some(Sabotage::Lock);
    let (enough, is_enough) = watch::channel(faultless);
    let script = async {
        let drama = match faultless {
            true => Drama::default(),
            false => disturb(plan, api, faults).await?,
        };
        enough.send_replace(true);
        Ok(drama)
    };
    let ((), drama) = tokio::try_join!(api.serve(plan.operations, plan.seed, is_enough), script)?;
    faults.cast.stop().await?;
    Ok(drama)
}

async fn disturb(plan: &Plan, api: &Api, faults: &Faults<'_>) -> Result<Drama> {
    let [killed, paused] = Faults::victims(plan.managers, plan.seed);
    let mut over = api.tally().over();
    over.wait_for(|over| *over >= plan.operations / 5).await?;
    let first = faults.kill(&killed).await?;
    over.wait_for(|over| *over >= plan.operations / 2).await?;
    let (second, zombie) = faults.pause(&paused).await?;
    Ok(Drama {
        aftermaths: vec![first, second],
        zombie: Some(zombie),
    })
}

async fn everybody_is_up(managers: usize, audience: &Audience) -> Result<()> {
    let mut events = audience.subscribe();
    while audience.manager_count() < managers {
        let event: (String, Event) = events.recv().await.context("waiting for the managers")?;
        drop(event);
    }
    Ok(())
}

async fn follow(api: &Api, timeline: &Timeline) {
    let mut over = api.tally().over();
    while over.changed().await.is_ok() {
        let count = *over.borrow_and_update();
        timeline.progress(count, api.tally().all_refused());
    }
}

/// Beyond this something is stuck, and the checks say what.
fn limit(plan: &Plan) -> Duration {
    match plan.sabotage {
        // Managers without locks get into each other's way for ever.
        Some(Sabotage::Lock) => Duration::from_secs(10),
        _ => Duration::from_secs(60) + Duration::from_millis(250 * plan.operations),
    }
}

async fn interruption() -> Result<anyhow::Error> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let name = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
    };
    Ok(anyhow::anyhow!("ended by {name}"))
}

/// The shared directory; a temporary one goes at the end.
#[derive(Debug)]
enum Directory {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Directory {
    fn open(given: Option<&Path>) -> Result<Directory> {
        let Some(path) = given else {
            let temporary = tempfile::Builder::new()
                .prefix("volguard-demo-")
                .tempdir()?;
            return Ok(Directory::Temporary(temporary));
        };
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        if path.read_dir()?.next().is_some() {
            bail!("{} is not empty", path.display());
        }
        Ok(Directory::Given(path.canonicalize()?))
    }

    fn path(&self) -> &Path {
        match self {
            Directory::Given(path) => path,
            Directory::Temporary(directory) => directory.path(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Directory::Given(path) => path,
            Directory::Temporary(directory) => directory.keep(),
        }
    }
}
