//! What the growth came to.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, presets};
use serde_json::{Value, json};

use super::site::{Site, Turn};
use super::table::Table;
use crate::rounds::{Pace, Rounds};

/// How much slower the slowest may be than the fastest.
const GOAL: f64 = 1.3;

/// Turns by number of clients and site.
#[derive(Debug, Default)]
pub struct Report(BTreeMap<(usize, usize), Vec<Turn>>);

impl Report {
    pub fn add(&mut self, clients: usize, site: usize, turn: Turn) {
        self.0.entry((clients, site)).or_default().push(turn);
    }

    pub fn describe(&self, pace: Pace, sites: &[Site]) -> String {
        let (rounds, seconds) = (pace.rounds, pace.turn.as_secs_f64());
        let beats: Vec<f64> = self
            .0
            .iter()
            .filter(|((_, site), _)| sites[*site].case.heartbeats)
            .flat_map(|(_, turns)| turns.iter().map(|turn| turn.heartbeats_per_second))
            .collect();
        format!(
            "{rounds} rounds of {seconds} s for each; medians, and from the lowest round to the highest in brackets.\n\
             Pairs are an acquire and a release; the ratio is to the first line, round by round.\n\
             The server's time is what the clients' backends spend on a pair, in microseconds of a processor.\n\
             {:.0} heartbeats a second where services heartbeat.\n",
            Rounds::new(beats).median(),
        )
    }

    pub fn costs(&self, sites: &[Site]) -> String {
        let mut table = table(&["ratio", "case", "clients", "pairs/s", "server's time"]);
        for (&(clients, site), turns) in &self.0 {
            let first = &self.0[&(clients, 0)];
            table.add_row([
                Rounds::ratio(turns.iter().map(speed), first.iter().map(speed)).spread(2),
                sites[site].case.name(),
                clients.to_string(),
                Rounds::new(turns.iter().map(speed)).spread(0),
                Rounds::new(turns.iter().map(time)).spread(0),
            ]);
        }
        let flatness: Vec<String> = self
            .clients()
            .into_iter()
            .map(|clients| {
                let (speed, time) = (self.flatness(clients, speed), self.flatness(clients, time));
                format!(
                    "clients: {clients}; the fastest case does {speed:.2} times the slowest's pairs, and needs {time:.2} times less of the \
                     server (goal: {GOAL} at most)"
                )
            })
            .collect();
        format!("{table}\n\n{}", flatness.join("\n"))
    }

    pub fn record(
        &self,
        machine: &str,
        load: f64,
        servers: &str,
        pace: Pace,
        sites: &[Site],
        tables: &[Vec<Table>],
    ) -> Value {
        let figures = self.0.iter().map(|(&(clients, site), turns)| {
            json!({
                "case": sites[site].case.name(),
                "clients": clients,
                "pairs_per_second_by_round": turns.iter().map(speed).collect::<Vec<_>>(),
                "server_microseconds_per_pair_by_round": turns.iter().map(time).collect::<Vec<_>>(),
            })
        });
        let tables = sites.iter().zip(tables).map(|(site, tables)| {
            json!({
                "case": site.case.name(),
                "fresh": figures_of(&site.fresh),
                "at_the_end": figures_of(tables),
            })
        });
        let flatness = self.clients().into_iter().map(|clients| {
            json!({
                "clients": clients,
                "pairs": self.flatness(clients, speed),
                "server_time": self.flatness(clients, time),
                "goal": GOAL,
            })
        });
        json!({
            "machine": machine,
            "load_before": load,
            "servers": servers.lines().collect::<Vec<_>>(),
            "rounds": pace.rounds,
            "seconds_per_turn": pace.turn.as_secs_f64(),
            "fastest_over_slowest": flatness.collect::<Vec<_>>(),
            "figures": figures.collect::<Vec<_>>(),
            "tables": tables.collect::<Vec<_>>(),
        })
    }

    fn clients(&self) -> Vec<usize> {
        let mut clients: Vec<usize> = self.0.keys().map(|(clients, _)| *clients).collect();
        clients.dedup();
        clients
    }

    /// The largest median over the smallest.
    fn flatness(&self, clients: usize, figure: impl Fn(&Turn) -> f64) -> f64 {
        let of = self.0.iter().filter(|((of, _), _)| *of == clients);
        let medians = of.map(|(_, turns)| Rounds::new(turns.iter().map(&figure)).median());
        let medians = Rounds::new(medians);
        medians.highest() / medians.lowest()
    }
}

/// The tables before anybody worked on them, and now.
pub fn sizes(sites: &[Site], tables: &[Vec<Table>]) -> comfy_table::Table {
    let mut report = table(&[
        "case",
        "of",
        "fresh, MB",
        "now",
        "ratio",
        "indexes fresh, MB",
        "now",
        "ratio",
        "dead rows",
        "vacuums",
        "sequential scans",
    ]);
    for (site, tables) in sites.iter().zip(tables) {
        for (fresh, now) in site.fresh.iter().zip(tables) {
            report.add_row([
                site.case.name(),
                now.name.clone(),
                megabytes(fresh.size),
                megabytes(now.size),
                ratio(now.size, fresh.size, site.case.rows),
                megabytes(fresh.index_size),
                megabytes(now.index_size),
                ratio(now.index_size, fresh.index_size, site.case.rows),
                now.dead_rows.to_string(),
                (now.vacuums - fresh.vacuums).to_string(),
                (now.sequential_scans - fresh.sequential_scans).to_string(),
            ]);
        }
    }
    report
}

fn figures_of(tables: &[Table]) -> Value {
    let tables = tables.iter().map(|table| {
        let figures = json!({
            "bytes": table.size,
            "index_bytes": table.index_size,
            "dead_rows": table.dead_rows,
            "vacuums": table.vacuums,
            "sequential_scans": table.sequential_scans,
        });
        (table.name.clone(), figures)
    });
    Value::Object(tables.collect())
}

fn speed(turn: &Turn) -> f64 {
    turn.pairs_per_second
}

fn time(turn: &Turn) -> f64 {
    turn.server_time_per_pair
}

/// Nothing grows to no multiple of itself.
fn ratio(now: i64, fresh: i64, rows: u32) -> String {
    if rows == 0 {
        return String::new();
    }
    format!("{:.2}", now as f64 / fresh as f64)
}

fn megabytes(bytes: i64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
