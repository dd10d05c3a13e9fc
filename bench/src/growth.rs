//! The cost of acquire and release as volguard's tables grow, after many cycles, and among many services.

mod case;
mod heart;
mod site;

use anyhow::Result;

use self::case::Case;
use self::site::Site;
use crate::locks::OWN_KEYS;
use crate::options::Options;
use crate::play::{Contender, play};
use crate::rounds::Rounds;
use crate::score::{Cell, Line, Score};
use crate::sheet::Sheet;
use crate::stage::Stage;
use crate::target::{Goal, Target};

pub const NAME: &str = "growth";
/// How much slower the slowest case may be than the fastest.
const GOAL: Goal = Goal::AtMost(1.3);
const SIZES: &str = "case|table|fresh, MB|at the end, MB|ratio|indexes fresh, MB|indexes at the end, MB|\
                     ratio of indexes|dead rows|vacuums|sequential scans|heartbeats/s";

pub async fn run(stage: &Stage, options: &Options) -> Result<Score> {
    let mut score = Score::new(NAME, "pairs", options.pace(3, 1.0));
    let clients = options.clients(&[1, 16]);
    let most = clients.iter().copied().max().unwrap_or(1);
    // As volguard sets it for its tables: its effect on their size is part of what is measured.
    stage.set_autovacuum(true).await?;
    let mut contenders = Vec::new();
    let cases = Case::all(options.most_rows, options.cycles);
    for (number, case) in cases.into_iter().enumerate() {
        eprintln!("{NAME}: preparing {}", case.name());
        let site = Site::prepare(stage, case, number, most).await?;
        contenders.push(Contender::new(case.name(), site));
    }
    let cells = clients.iter().map(|&clients| Cell::new(OWN_KEYS, clients));
    let cells: Vec<Cell> = cells.collect();
    play(&mut score, &cells, &mut contenders, async |site: &mut Site, cell, time| site.turn(cell.clients, time).await)
        .await?;
    stage.set_autovacuum(false).await?;
    for cell in &cells {
        let flatness = flatness(&score, cell);
        score.targets.extend(flatness);
    }
    let mut rows = Vec::new();
    for Contender { name, team } in &contenders {
        rows.extend(team.sizes(name).await?);
    }
    score.beside = Some(Sheet::new("sizes", "tables, of part growth", SIZES, rows));
    Ok(score)
}

/// The slowest beside the fastest case: by the clients' pairs, and by the server's cost of a pair.
fn flatness(score: &Score, cell: &Cell) -> [Target; 2] {
    let extremes = |figure: fn(&Line) -> Rounds| {
        let lines = score.lines.iter().filter(|line| line.cell == *cell);
        let mut lines: Vec<&Line> = lines.collect();
        lines.sort_by(|a, b| figure(a).median().total_cmp(&figure(b).median()));
        (lines[0], lines[lines.len() - 1])
    };
    let (slowest, fastest) = extremes(Line::per_second);
    let what = format!("{cell}: slowest / fastest case");
    let pairs = Target::new(GOAL, what, slowest, fastest);
    let (cheapest, dearest) = extremes(Line::server_time);
    let server_time = Target {
        what: format!("{cell}: dearest / cheapest case, server's time"),
        goal: GOAL,
        ratio: dearest.server_time().over(&cheapest.server_time()),
    };
    [pairs, server_time]
}
