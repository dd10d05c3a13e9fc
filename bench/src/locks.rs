//! Locks: volguard beside the limit (SQL by hand, locks in memory) and beside etcd and Redis.

mod baton;
mod etcd;
mod holder;
mod locker;
mod postgres;
mod redis;

use anyhow::Result;

use crate::database::Database;
use crate::options::Options;
use crate::play::{Contender, play};
use crate::provider::Provider;
use crate::score::{Cell, Score};
use crate::stage::Stage;
use crate::target::{Goal, Target};
use crate::turn::turn;

pub use self::holder::Holder;

pub const NAME: &str = "locks";
/// Each client has its own keys.
pub const OWN_KEYS: &str = "own keys";
/// All clients use the same key.
pub const HOT_KEY: &str = "one hot key";

pub async fn run(stage: &Stage, options: &Options) -> Result<Score> {
    let mut score = Score::new(NAME, "pairs", options.pace(5, 1.2));
    let database = prepare(stage).await?;
    let clients = options.clients(&[1, 4, 16, 64]);
    let most = clients.iter().copied().max().unwrap_or(1);
    let mut contenders = Vec::new();
    for provider in Provider::locks(&options.against) {
        let team = Holder::team(provider, stage, &database, most).await?;
        contenders.push(Contender::new(provider.name(), team));
    }
    let cells = cells(&clients);
    play(&mut score, &cells, &mut contenders, async |team, cell, time| {
        database.vacuum("volguard.workers, locks").await?;
        Holder::give_keys(&mut team[..cell.clients], cell.what == HOT_KEY);
        turn(team, cell.clients, time).await
    })
    .await?;
    aim(&mut score, &cells);
    Ok(score)
}

/// Rows stay in the tables of volguard and of the SQL by hand. With an empty table the planner
/// would choose a sequential scan as free, and would keep that plan while dead rows pile up.
async fn prepare(stage: &Stage) -> Result<Database> {
    const STANDING_ROWS: u32 = 1000;
    let database = stage.database(NAME, include_str!("../sql/locks/schema.sql"));
    let database = database.await?;
    let services = database.register_services(1).await?;
    database.fill_workers(STANDING_ROWS, &services).await?;
    Ok(database)
}

/// A single client can't contend for a key.
fn cells(clients: &[usize]) -> Vec<Cell> {
    let own = clients.iter().map(|&clients| Cell::new(OWN_KEYS, clients));
    let several = clients.iter().filter(|&&clients| clients > 1);
    let hot = several.map(|&clients| Cell::new(HOT_KEY, clients));
    own.chain(hot).collect()
}

fn aim(score: &mut Score, cells: &[Cell]) {
    let (ours, hand) = (Provider::Volguard.name(), Provider::Hand.name());
    for (clients, goal) in [(1, 0.9), (16, 0.85)] {
        score.aim(Goal::AtLeast(goal), &Cell::new(OWN_KEYS, clients), ours, hand);
    }
    // A single client waits for the disk twice for each pair and for no
    // other client: if the hot key reaches that rate, hand-overs are fast.
    let Some(alone) = score.line(&Cell::new(OWN_KEYS, 1), ours) else {
        return;
    };
    let mut targets = Vec::new();
    for cell in cells.iter().filter(|cell| cell.what == HOT_KEY) {
        let goal = Goal::AtLeast(if cell.clients > 16 { 0.6 } else { 0.8 });
        let what = format!("{cell}: {ours} / its own pairs with 1 client");
        let hot = score.line(cell, ours).into_iter();
        targets.extend(hot.map(|hot| Target::new(goal, what.clone(), hot, alone)));
    }
    score.targets.extend(targets);
}
