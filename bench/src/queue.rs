//! The cost of work that is submitted for whichever manager is free: submit, take, finish; how soon an idle manager has
//! new work; and what becomes of it with much waiting work, and with rows that can't be removed.

mod broker;
mod cycle;
mod idle;
mod kind;
mod manager;
mod scene;
mod site;

use anyhow::{Result, ensure};

use self::cycle::Cycle;
use self::idle::Idle;
use self::kind::Kind;
use self::scene::Scene;
use self::site::{Past, Site};
use crate::database::Database;
use crate::options::Options;
use crate::play::{Contender, play};
use crate::rounds::Rounds;
use crate::score::{Cell, Score};
use crate::stage::Stage;
use crate::target::{Goal, Target};
use crate::turn::turn;

pub const NAME: &str = "queue";
const CYCLE: &str = "submit, take, finish";
const WAKE: &str = "wake-up";
const STATE: &str = "take";
const COMMIT: &str = "one commit";
/// How much later than after one commit an idle manager may have new work, in seconds.
const LATER: f64 = 0.001;

pub async fn run(stage: &Stage, options: &Options) -> Result<Score> {
    let mut score = Score::new(NAME, "jobs", options.pace(5, 1.2));
    let clients = options.clients(&[1, 16]);
    let most = clients.iter().copied().max().unwrap_or(1);
    let cells = |what| clients.iter().map(|&clients| Cell::new(what, clients)).collect::<Vec<_>>();
    let scene = Scene::new(stage, NAME).await?;
    let done = cycles(&mut score, &scene, &cells(CYCLE), most).await?;
    let done = done + wake_ups(&mut score, &scene, &cells(WAKE), most).await?;
    check(&scene.database, done).await?;
    states(&mut score, stage, options, &cells(STATE), most).await?;
    Ok(score)
}

async fn cycles(score: &mut Score, scene: &Scene<'_>, cells: &[Cell], most: usize) -> Result<i64> {
    let mut contenders = Vec::new();
    for kind in scene.kinds(&Kind::ALL) {
        contenders.push(Contender::new(kind.name(), Cycle::team(scene, kind, most, false).await?));
    }
    play(score, cells, &mut contenders, async |team, cell, time| {
        scene.database.vacuum(Kind::TABLES).await?;
        turn(team, cell.clients, time).await
    })
    .await?;
    for cell in cells {
        for by_hand in [Kind::Hand, Kind::HandShape] {
            score.aim(Goal::AtLeast(0.8), cell, Kind::Volguard.name(), by_hand.name());
        }
        score.aim(Goal::AtLeast(1.0), cell, Kind::Volguard.name(), Kind::Broker.name());
    }
    Ok(contenders.iter().flat_map(|contender| &contender.team).map(|cycle| cycle.done).sum())
}

async fn wake_ups(score: &mut Score, scene: &Scene<'_>, cells: &[Cell], most: usize) -> Result<i64> {
    let mut contenders = Vec::new();
    for kind in scene.kinds(&[Kind::Volguard, Kind::HandNotify, Kind::Pgmq, Kind::Broker]) {
        contenders.push(Contender::new(kind.name(), Idle::queue(scene, kind, most).await?));
    }
    contenders.push(Contender::new(COMMIT, Idle::commit(&scene.database).await?));
    play(score, cells, &mut contenders, async |idle, cell, time| {
        scene.database.vacuum(Kind::TABLES).await?;
        idle.turn(cell.clients, time).await
    })
    .await?;
    for cell in cells {
        if let (Some(ours), Some(commit)) = (score.line(cell, Kind::Volguard.name()), score.line(cell, COMMIT)) {
            let allowed = Rounds(commit.wait().0.iter().map(|wait| wait + LATER).collect());
            let what = format!("{cell}: p50 / ({COMMIT} + 1 ms)");
            let ratio = ours.wait().over(&allowed);
            score.targets.push(Target { goal: Goal::AtMost(1.0), what, ratio });
        }
    }
    let done = contenders.iter().map(|contender| match &contender.team {
        Idle::Queue(queue) => queue.done,
        Idle::Commit(_) => 0,
    });
    Ok(done.sum())
}

/// Each piece of work must have ended, and each once.
async fn check(database: &Database, done: i64) -> Result<()> {
    let row = database.superuser.query_one(include_str!("../sql/queue/state.sql"), &[]).await?;
    let state: [i64; 3] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
    ensure!(state == [0, 0, done], "jobs left, volumes left, extended: {state:?}, but {done} were done");
    Ok(())
}

async fn states(score: &mut Score, stage: &Stage, options: &Options, cells: &[Cell], most: usize) -> Result<()> {
    const FEW: u32 = 1000;
    let pasts = [Past::Waiting(FEW), Past::Waiting(options.most_rows), Past::Done(options.jobs / 100)];
    let kinds = [Kind::Volguard, Kind::Hand];
    let sites = kinds.into_iter().flat_map(|kind| pasts.map(|past| (kind, past)));
    let mut contenders = Vec::new();
    for (number, (kind, past)) in sites.enumerate() {
        let name = past.of(kind);
        eprintln!("{NAME}: preparing {name}");
        contenders.push(Contender::new(name, Site::prepare(stage, (kind, past), number, most).await?));
    }
    play(score, cells, &mut contenders, async |site: &mut Site, cell, time| {
        turn(&mut site.team, cell.clients, time).await
    })
    .await?;
    for cell in cells {
        for kind in kinds {
            let [few, many, worn] = pasts.map(|past| past.of(kind));
            let lines = (score.line(cell, &few), score.line(cell, &many), score.line(cell, &worn));
            let (Some(few), Some(many), Some(worn)) = lines else { continue };
            let time = Target {
                goal: Goal::AtMost(1.3),
                what: format!("{cell}: {} / {}, p50", many.contender, few.contender),
                ratio: many.wait().over(&few.wait()),
            };
            let rate = format!("{cell}: {} / {}", worn.contender, few.contender);
            let rate = Target::new(Goal::AtLeast(0.5), rate, worn, few);
            if kind == Kind::Volguard {
                score.targets.extend([time, rate]);
            }
        }
    }
    Ok(())
}
