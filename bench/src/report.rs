//! The report of a run: the figures of its parts, and their targets.

use std::time::Duration;

use serde_json::json;

use crate::rounds::Pace;
use crate::score::{Line, Score};
use crate::sheet::{Field, Sheet};

/// How to read the report.
const KEY: &str = "
Figures are medians of the rounds, with the lowest and the highest in brackets.
first : it  how many times as much the first contender of a block did as this one, round by round
server      processor time of the processes that serve the clients, in microseconds for one
wait        from asking to the answer; of a lock, from asking for it to having it
hand-over   from one client's asking to release the hot key until another one has it
served      how often the hot key went to the client that got it least, and most
";
const FIGURES: &str = "first : it|what|clients|contender|per second|server, us|wait p50, ms|wait p99, ms|\
                       hand-over p50, ms|hand-over p99, ms|served least|served most";
const TARGETS: &str = "ratio|part|of|goal|verdict";

#[derive(Debug)]
pub struct Report {
    /// The conditions of the figures: the machine, its load before, the servers.
    conditions: Vec<String>,
    sheets: Vec<Sheet>,
    targets: Sheet,
}

impl Report {
    pub fn new(conditions: Vec<String>) -> Report {
        Report {
            conditions,
            sheets: Vec::new(),
            targets: Sheet::new("targets", "ratios that have a goal", TARGETS, Vec::new()),
        }
    }

    pub fn heading(&self) -> String {
        format!("{}\n{KEY}", self.conditions.join("\n"))
    }

    /// Adds a part's figures, and returns its tables.
    pub fn add(&mut self, score: Score) -> String {
        let targets = score.targets.iter().map(|target| {
            vec![
                Field::Rounds(target.ratio.clone()),
                Field::text(score.part),
                Field::text(&target.what),
                Field::text(target.goal),
                Field::text(target.verdict()),
            ]
        });
        self.targets.rows.extend(targets);
        let before = self.sheets.len();
        self.sheets.push(figures(&score));
        self.sheets.extend(score.beside);
        let new = self.sheets[before..].iter().map(Sheet::to_string);
        new.collect::<Vec<_>>().join("\n")
    }

    /// The ratios that have a goal, of all parts.
    pub fn targets(&self) -> &Sheet {
        &self.targets
    }

    /// The whole report, for programs.
    pub fn json(&self) -> String {
        let sheets = std::iter::once(&self.targets).chain(&self.sheets);
        let sheets: Vec<String> = sheets.map(Sheet::json).collect();
        let (conditions, sheets) = (json!(self.conditions), sheets.join(",\n"));
        format!("{{\"conditions\": {conditions},\n{sheets}}}\n")
    }
}

fn figures(score: &Score) -> Sheet {
    let Pace { rounds, turn } = score.pace;
    let mut about = format!("{}, {rounds} rounds", score.unit);
    if !turn.is_zero() {
        about.push_str(&format!(" of {} s", turn.as_secs_f64()));
    }
    let rows = score.lines.iter().map(|line| row(score, line)).collect();
    Sheet::new(score.part, about, FIGURES, rows)
}

fn row(score: &Score, line: &Line) -> Vec<Field> {
    let first = score.lines.iter().find(|first| first.cell == line.cell);
    let first = first.unwrap_or(line).per_second();
    let seen = line.seen();
    let served = |count: Option<&usize>| Field::Number(count.map_or(0.0, |&count| count as f64));
    let mut row = vec![
        Field::Rounds(first.over(&line.per_second())),
        Field::text(&line.cell.what),
        Field::Number(line.cell.clients as f64),
        Field::text(&line.contender),
        Field::Rounds(line.per_second()),
        Field::Rounds(line.server_time()),
        percentile(&seen.wait, 50),
        percentile(&seen.wait, 99),
    ];
    if !seen.hand_over.is_empty() {
        row.extend([
            percentile(&seen.hand_over, 50),
            percentile(&seen.hand_over, 99),
            served(seen.served.iter().min()),
            served(seen.served.iter().max()),
        ]);
    }
    row
}

/// The percentile of the times.
fn percentile(ascending: &[Duration], percent: usize) -> Field {
    let at = ascending.len() * percent / 100;
    let time = ascending.get(at).or(ascending.last());
    Field::Number(time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3))
}
