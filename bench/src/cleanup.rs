//! The cost of cleaning up after crashed services: by `cleanup`, by bare SQL that does the same, and row by row.

mod cleaner;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::cleaner::Cleaner;
use crate::connection::server_pid;
use crate::database::Database;
use crate::machine;
use crate::options::Options;
use crate::play::{Contender, play};
use crate::rounds::Pace;
use crate::score::{Cell, Score};
use crate::stage::Stage;
use crate::target::Goal;
use crate::turn::{Piece, Seen, Turn};

pub const NAME: &str = "cleanup";
/// So many services have left the rows.
const FEW: u32 = 100;
/// So many at the most, with four rows each: what a service costs.
const MANY: u32 = 3000;
const TABLES: &str = "volguard.workers, volguard.services, volumes, snapshots";

pub async fn run(stage: &Stage, options: &Options) -> Result<Score> {
    let mut score = Score::new(NAME, "rows", Pace { turn: Duration::ZERO, ..options.pace(3, 0.0) });
    let database = stage.database(NAME, include_str!("../sql/cleanup/schema.sql"));
    let (database, rows) = (database.await?, options.crashed);
    let cleaners = Cleaner::ALL.into_iter();
    let contenders = cleaners.map(|cleaner| Contender::new(cleaner.name(), cleaner));
    let mut contenders: Vec<Contender<Cleaner>> = contenders.collect();
    let many = (rows / 4).min(MANY);
    let cells = [Cell::new(format!("{rows} rows"), 1), Cell::new(format!("{} rows of {many} services", 4 * many), 1)];
    play(&mut score, &cells, &mut contenders, async |cleaner, cell, _| match cell.what == cells[0].what {
        true => turn(&database, *cleaner, cleaner.share(rows), FEW).await,
        false => turn(&database, *cleaner, cleaner.share(4 * many), many).await,
    })
    .await?;
    let (ours, bare) = (Cleaner::Ours.name(), Cleaner::Bare.name());
    score.aim(Goal::AtMost(1.6), &cells[0], ours, bare);
    Ok(score)
}

/// Runs the cleanup over a new connection, as after a crash.
async fn turn(database: &Database, cleaner: Cleaner, rows: u32, services: u32) -> Result<Turn> {
    fill(database, rows, services).await?;
    let client = cleaner.connect(database).await?;
    let backend = server_pid(&client).await?;
    let (start, before) = (Instant::now(), machine::processor_time(backend)?);
    cleaner.clean(&client).await?;
    let piece = Piece::since(start);
    let server_time = machine::processor_time(backend)? - before;
    check(database, rows).await?;
    let mut seen = Seen { served: vec![1], ..Seen::default() };
    seen.record(piece);
    Ok(Turn {
        per_second: f64::from(rows) / piece.wait.as_secs_f64(),
        server_time: server_time.as_secs_f64() * 1e6 / f64::from(rows),
        seen,
    })
}

/// What the crashed services have left.
async fn fill(database: &Database, rows: u32, services: u32) -> Result<()> {
    let superuser = &database.superuser;
    superuser.batch_execute(&format!("TRUNCATE {TABLES}")).await?;
    let services = database.register_services(services).await?;
    let fill = include_str!("../sql/cleanup/fill.sql");
    superuser.execute(fill, &[&i32::try_from(rows)?, &services]).await?;
    superuser.batch_execute(include_str!("../sql/cleanup/die.sql")).await?;
    let vacuum = format!("VACUUM (ANALYZE, FREEZE) {TABLES}");
    Ok(superuser.batch_execute(&vacuum).await?)
}

/// All work must have been repaired once, and nothing may be left, with every cleaner.
async fn check(database: &Database, rows: u32) -> Result<()> {
    let sql = include_str!("../sql/cleanup/state.sql");
    let row = database.superuser.query_one(sql, &[]).await?;
    let state: Result<Vec<i64>, _> = (0..5).map(|column| row.try_get(column)).collect();
    let (state, quarter) = (state?, i64::from(rows) / 4);
    let expected = [0, 0, quarter, quarter, 2 * quarter];
    ensure!(state == expected, "left over {state:?}, expected {expected:?}");
    Ok(())
}
