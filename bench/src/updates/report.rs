//! The table.

use comfy_table::{CellAlignment, Table, presets};

use super::contender::Form;
use super::turn::Pair;
use crate::rounds::{Pace, Rounds};
use crate::turn::Turn;

#[derive(Debug)]
pub struct Report {
    heading: String,
    table: Table,
}

impl Report {
    pub fn new(stage: String, pace: Pace) -> Report {
        let (rounds, seconds) = (pace.rounds, pace.turn.as_secs_f64());
        let heading = format!(
            "{stage}\n\
             {rounds} rounds of {seconds} s for each; medians, and from the lowest round to the highest in brackets.\n\
             Both are prepared, answer with the new row as JSON, and reach the server by TCP on this machine.\n\
             The server's time is what its processes spend on one update, in microseconds of a processor.\n\
             \"exists\" by hand looks at other tables as they were before it waited for the row; \"exists, exact\" locks the row first, as conditional_update does.\n"
        );
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "update",
            "documents",
            "clients",
            "ratio",
            "conditional_update/s",
            "by hand/s",
            "server's time",
            "by hand",
        ]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Report { heading, table }
    }

    pub fn heading(&self) -> &str {
        &self.heading
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    pub fn add(&mut self, update: &str, form: Form, clients: usize, pair: &Pair) {
        let Pair { by_hand, ours } = pair;
        let speed = |turn: &Turn| turn.per_second;
        let time = |turn: &Turn| turn.server_time;
        self.table.add_row([
            update.to_owned(),
            form.name().to_owned(),
            clients.to_string(),
            Rounds::ratio(ours.iter().map(speed), by_hand.iter().map(speed)).spread(2),
            Rounds::new(ours.iter().map(speed)).spread(0),
            Rounds::new(by_hand.iter().map(speed)).spread(0),
            Rounds::new(ours.iter().map(time)).spread(0),
            Rounds::new(by_hand.iter().map(time)).spread(0),
        ]);
    }
}
