//! The table.

use std::collections::BTreeMap;

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
             {rows} rows of a hundred crashed services: half of them plain locks, a quarter work on volumes, a quarter work on snapshots.\n"
        )
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "by",
            "ratio",
            "seconds",
            "server's time, ratio",
            "server's time, s",
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let time = |turn: &Turn| turn.time.as_secs_f64();
        let server_time = |turn: &Turn| turn.server_time.as_secs_f64();
        let bare = &self.0[&Contender::Bare];
        for (contender, turns) in &self.0 {
            table.add_row([
                contender.name().to_owned(),
                Rounds::ratio(turns.iter().map(time), bare.iter().map(time)).spread(2),
                Rounds::new(turns.iter().map(time)).spread(3),
                Rounds::ratio(turns.iter().map(server_time), bare.iter().map(server_time))
                    .spread(2),
                Rounds::new(turns.iter().map(server_time)).spread(3),
            ]);
        }
        table
    }
}
