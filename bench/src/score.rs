//! All turns of one part.

use std::fmt;
use std::time::Duration;

use crate::rounds::{Pace, Rounds};
use crate::sheet::Sheet;
use crate::target::{Goal, Target};
use crate::turn::{Seen, Turn};

/// What is measured, with one number of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub what: String,
    pub clients: usize,
}

impl Cell {
    pub fn new(what: impl Into<String>, clients: usize) -> Cell {
        let what = what.into();
        Cell { what, clients }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.clients == 1 { "" } else { "s" };
        write!(f, "{}, {} client{plural}", self.what, self.clients)
    }
}

#[derive(Debug)]
pub struct Score {
    pub part: &'static str,
    /// The unit that the figures count.
    pub unit: &'static str,
    pub pace: Pace,
    pub lines: Vec<Line>,
    pub targets: Vec<Target>,
    /// What was measured beside the turns.
    pub beside: Option<Sheet>,
}

impl Score {
    pub fn new(part: &'static str, unit: &'static str, pace: Pace) -> Score {
        Score { part, unit, pace, lines: Vec::new(), targets: Vec::new(), beside: None }
    }

    pub fn line(&self, cell: &Cell, contender: &str) -> Option<&Line> {
        let mut lines = self.lines.iter();
        lines.find(|line| line.cell == *cell && line.contender == contender)
    }

    /// Sets a goal for one contender beside another in the same cell, if the run has figures of both.
    pub fn aim(&mut self, goal: Goal, cell: &Cell, ours: &str, other: &str) {
        if let (Some(a), Some(b)) = (self.line(cell, ours), self.line(cell, other)) {
            let target = Target::new(goal, format!("{cell}: {ours} / {other}"), a, b);
            self.targets.push(target);
        }
    }
}

/// One contender's turns in one cell, one a round.
#[derive(Debug)]
pub struct Line {
    pub cell: Cell,
    pub contender: String,
    pub turns: Vec<Turn>,
}

impl Line {
    pub fn new(cell: &Cell, contender: &str) -> Line {
        Line { cell: cell.clone(), contender: contender.to_owned(), turns: Vec::new() }
    }

    pub fn per_second(&self) -> Rounds {
        Rounds(self.turns.iter().map(|turn| turn.per_second).collect())
    }

    /// In microseconds.
    pub fn server_time(&self) -> Rounds {
        Rounds(self.turns.iter().map(|turn| turn.server_time).collect())
    }

    /// The median of each round's times to wait, in seconds; not a number if nothing was done in time.
    pub fn wait(&self) -> Rounds {
        let medians = self.turns.iter().map(|turn| {
            let times: Vec<f64> = turn.seen.wait.iter().map(Duration::as_secs_f64).collect();
            if times.is_empty() { f64::NAN } else { Rounds(times).median() }
        });
        Rounds(medians.collect())
    }

    /// In all rounds together; the times in ascending order.
    pub fn seen(&self) -> Seen {
        let all = || self.turns.iter().map(|turn| &turn.seen);
        let client = |client| all().map(|seen| seen.served[client]).sum();
        let mut sum = Seen {
            served: (0..self.cell.clients).map(client).collect(),
            wait: all().flat_map(|seen| &seen.wait).copied().collect(),
            hand_over: all().flat_map(|seen| &seen.hand_over).copied().collect(),
        };
        sum.wait.sort_unstable();
        sum.hand_over.sort_unstable();
        sum
    }
}
