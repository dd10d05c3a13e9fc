//! The table.

use comfy_table::{CellAlignment, Table, presets};

use super::turn::Turns;
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
             An operation takes a volume's lock, changes its status, changes it back, and frees the lock:\n\
             start_work and finish_work in two commits, acquire, conditional_update twice and release in four, SQL by hand in two.\n\
             The server's time is what its processes spend on one operation, in microseconds of a processor.\n"
        );
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "clients",
            "two calls : four",
            "two calls : by hand",
            "two calls/s",
            "four calls/s",
            "by hand/s",
            "server's time",
            "four calls",
            "by hand",
        ]);
        for column in table.column_iter_mut() {
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

    pub fn add(&mut self, clients: usize, [together, separate, by_hand]: &Turns) {
        let speed = |turn: &Turn| turn.per_second;
        let ratio = |over: &[Turn], under: &[Turn]| {
            Rounds::ratio(over.iter().map(speed), under.iter().map(speed)).spread(2)
        };
        let speeds = |turns: &[Turn]| Rounds::new(turns.iter().map(speed)).spread(0);
        let times =
            |turns: &[Turn]| Rounds::new(turns.iter().map(|turn| turn.server_time)).spread(0);
        self.table.add_row([
            clients.to_string(),
            ratio(together, separate),
            ratio(together, by_hand),
            speeds(together),
            speeds(separate),
            speeds(by_hand),
            times(together),
            times(separate),
            times(by_hand),
        ]);
    }
}
