//! All turns of a run.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;

use super::contender::Contender;
use super::turn::{Load, Turn, histogram};
use crate::rounds::Rounds;

/// What is measured with one number of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub load: Load,
    pub clients: usize,
}

impl Cell {
    /// One client alone can't contend for a key.
    pub fn all(clients: &[usize]) -> Vec<Cell> {
        let cells = |load, fewest| {
            let clients = clients.iter().copied().filter(move |&n| n >= fewest);
            clients.map(move |clients| Cell { load, clients })
        };
        cells(Load::OwnKeys, 1)
            .chain(cells(Load::HotKey, 2))
            .collect()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.clients == 1 { "" } else { "s" };
        write!(f, "{}, {} client{plural}", self.load.name(), self.clients)
    }
}

#[derive(Debug, Default)]
pub struct Score(BTreeMap<(Cell, Contender), Vec<Turn>>);

impl Score {
    pub fn add(&mut self, cell: Cell, contender: Contender, turn: Turn) {
        self.0.entry((cell, contender)).or_default().push(turn);
    }

    /// By load, number of clients and contender.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.0.iter().map(|(&(cell, contender), turns)| Line {
            cell,
            contender,
            turns,
        })
    }

    pub fn line(&self, cell: Cell, contender: Contender) -> Option<Line<'_>> {
        let turns = self.0.get(&(cell, contender))?;
        Some(Line {
            cell,
            contender,
            turns,
        })
    }
}

/// One contender's turns in one cell, one a round.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub cell: Cell,
    pub contender: Contender,
    turns: &'a [Turn],
}

impl Line<'_> {
    pub fn pairs_per_second(&self) -> impl Iterator<Item = f64> {
        self.turns.iter().map(|turn| turn.pairs_per_second)
    }

    /// In microseconds.
    pub fn server_time(&self) -> Rounds {
        Rounds::new(self.turns.iter().map(|turn| turn.server_time_per_pair))
    }

    /// How many times this one's pairs the other did, round by round.
    pub fn times(&self, other: &Line<'_>) -> Rounds {
        Rounds::ratio(other.pairs_per_second(), self.pairs_per_second())
    }

    pub fn acquire(&self) -> Histogram<u64> {
        self.sum(|turn| &turn.acquire)
    }

    pub fn hand_over(&self) -> Histogram<u64> {
        self.sum(|turn| &turn.hand_over)
    }

    /// How often each client was served, in all rounds together.
    pub fn served(&self) -> Vec<u64> {
        (0..self.cell.clients)
            .map(|client| self.turns.iter().map(|turn| turn.served[client]).sum())
            .collect()
    }

    fn sum(&self, part: impl Fn(&Turn) -> &Histogram<u64>) -> Histogram<u64> {
        let mut sum = histogram();
        for turn in self.turns {
            sum.add(part(turn)).expect("histograms of the same bounds");
        }
        sum
    }
}
