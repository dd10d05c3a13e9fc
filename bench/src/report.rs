//! The table.

use comfy_table::{CellAlignment, Table, presets};

use crate::measure::{Pair, Turn};
use crate::options::Options;

#[derive(Debug)]
pub struct Report {
    heading: String,
    table: Table,
}

impl Report {
    pub fn new(stage: String, options: &Options) -> Report {
        let (rounds, seconds) = (options.rounds, options.turn.as_secs_f64());
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
            "clients",
            "ratio",
            "conditional_update/s",
            "by hand/s",
            "server's time",
            "by hand",
        ]);
        for column in table.column_iter_mut().skip(1) {
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

    pub fn add(&mut self, update: &str, clients: usize, pair: &Pair) {
        let Pair { by_hand, ours } = pair;
        let speed = |turn: &Turn| turn.updates_per_second;
        let time = |turn: &Turn| turn.server_time_per_update;
        let both = ours.iter().zip(by_hand);
        let ratios = both.map(|(ours, by_hand)| speed(ours) / speed(by_hand));
        self.table.add_row([
            update.to_owned(),
            clients.to_string(),
            spread(ratios.collect(), 2),
            spread(ours.iter().map(speed).collect(), 0),
            spread(by_hand.iter().map(speed).collect(), 0),
            spread(ours.iter().map(time).collect(), 0),
            spread(by_hand.iter().map(time).collect(), 0),
        ]);
    }
}

/// `median (lowest-highest)`.
fn spread(mut rounds: Vec<f64>, digits: usize) -> String {
    rounds.sort_by(f64::total_cmp);
    let (low, high) = (rounds[0], rounds[rounds.len() - 1]);
    format!(
        "{:.digits$} ({low:.digits$}-{high:.digits$})",
        median(&rounds)
    )
}

fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => f64::midpoint(sorted[half - 1], sorted[half]),
        _ => sorted[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0], 1), "2.0 (1.0-3.0)");
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0], 1), "2.5 (1.0-4.0)");
    }
}
