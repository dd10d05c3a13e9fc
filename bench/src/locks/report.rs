//! The tables on the terminal.

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;

use super::contender::Contender;
use super::score::{Line, Score};
use super::targets::Target;
use super::turn::Load;
use crate::rounds::{Pace, Rounds};

pub fn heading(servers: &str, contenders: &[Contender], pace: Pace) -> String {
    let (rounds, seconds) = (pace.rounds, pace.turn.as_secs_f64());
    let who: Vec<String> = contenders
        .iter()
        .map(|one| format!("  {}: {}", one.name(), one.description()))
        .collect();
    format!(
        "{servers}\n\
         {rounds} rounds of {seconds} s for each; medians, and from the lowest round to the highest in brackets.\n\
         \"server\" is what the processes that serve the clients spend on a pair, in microseconds of a processor.\n\
         All reach their server by TCP on this machine, each client over a connection of its own.\n\
         {}\n",
        who.join("\n")
    )
}

/// Ratios against what they are to be, and beside what SQL by hand comes to.
pub fn targets(targets: &[Target]) -> Table {
    let mut table = table(&["ratio", "of pairs a second", "goal", "", "SQL by hand"]);
    for target in targets {
        table.add_row([
            target.ratio.spread(2),
            target.what.clone(),
            format!("{:.1}", target.goal),
            if target.reached() {
                "reached"
            } else {
                "missed"
            }
            .to_owned(),
            target
                .by_hand
                .as_ref()
                .map(|ratio| ratio.spread(2))
                .unwrap_or_default(),
        ]);
    }
    table
}

/// All figures. The ratio is how many times as many pairs volguard did in the same rounds as the contender.
pub fn figures(score: &Score) -> Table {
    let mut table = table(&[
        "volguard / it",
        "keys",
        "clients",
        "contender",
        "pairs/s",
        "server, us",
        "acquire p50, ms",
        "p99",
        "hand-over p50, ms",
        "p99",
        "served least",
        "most",
    ]);
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in score.lines() {
        table.add_row(row(score, &line));
    }
    table
}

fn row(score: &Score, line: &Line<'_>) -> Vec<String> {
    let ours = score.line(line.cell, Contender::Volguard);
    let ratio = ours.map(|ours| line.times(&ours).spread(2));
    let (acquire, hand_over) = (line.acquire(), line.hand_over());
    let mut row = vec![
        ratio.unwrap_or_default(),
        line.cell.load.name().to_owned(),
        line.cell.clients.to_string(),
        line.contender.name().to_owned(),
        Rounds::new(line.pairs_per_second()).spread(0),
        line.server_time().spread(0),
        milliseconds(&acquire, 0.5),
        milliseconds(&acquire, 0.99),
    ];
    if line.cell.load == Load::HotKey {
        let served = line.served();
        let count = |of: Option<&u64>| of.map(u64::to_string).unwrap_or_default();
        row.extend([
            milliseconds(&hand_over, 0.5),
            milliseconds(&hand_over, 0.99),
            count(served.iter().min()),
            count(served.iter().max()),
        ]);
    }
    row
}

fn milliseconds(times: &Histogram<u64>, quantile: f64) -> String {
    if times.is_empty() {
        return "none".to_owned();
    }
    format!("{:.2}", times.value_at_quantile(quantile) as f64 / 1e6)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}
