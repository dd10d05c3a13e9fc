//! The table.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::contender::Contender;
use super::stage::Turn;
use crate::rounds::Rounds;

#[derive(Debug, Default)]
pub struct Report(BTreeMap<Contender, Vec<Turn>>);

impl Report {
    pub fn add(&mut self, contender: Contender, turn: Turn) {
        self.0.entry(contender).or_default().push(turn);
    }

    pub fn describe(&self, rounds: usize, rows: u32) -> String {
        format!(
            "{rounds} rounds; medians, and from the lowest round to the highest in brackets. The ratio is to the bare SQL, round by round.\n\
             {rows} rows of a hundred crashed services: half of them plain locks, a quarter work on volumes, a quarter work on snapshots; row by row, a tenth as many.\n"
        )
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "by",
            "ratio",
            "seconds",
            "a row, us",
            "server's time, ratio",
            "a row, us",
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let of_row = |time: Duration, turn: &Turn| time.as_secs_f64() * 1e6 / f64::from(turn.rows);
        let time = |turn: &Turn| of_row(turn.time, turn);
        let server_time = |turn: &Turn| of_row(turn.server_time, turn);
        let seconds = |turn: &Turn| turn.time.as_secs_f64();
        let bare = &self.0[&Contender::Bare];
        for (contender, turns) in &self.0 {
            table.add_row([
                contender.name().to_owned(),
                Rounds::ratio(turns.iter().map(time), bare.iter().map(time)).spread(2),
                Rounds::new(turns.iter().map(seconds)).spread(3),
                Rounds::new(turns.iter().map(time)).spread(1),
                Rounds::ratio(turns.iter().map(server_time), bare.iter().map(server_time))
                    .spread(2),
                Rounds::new(turns.iter().map(server_time)).spread(1),
            ]);
        }
        table
    }
}
