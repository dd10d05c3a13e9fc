//! Printing to stdout.

use crate::error::Failure;
use crate::query::Row;
use crate::section::Section;
use crate::table::{Layout, visible_row};
use crate::text::visible_json;
use std::io::{ErrorKind, Write};

/// How wide the output is where it goes to no terminal.
const WIDTH: usize = 100;

/// Writes it. A reader that has closed its end wants no more.
pub(super) fn out(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::system("stdout")(error)),
        _ => Ok(()),
    }
}

pub(super) fn json(text: &str) -> Result<(), Failure> {
    out(&format!("{}\n", visible_json(text)))
}

/// How many columns there are.
fn room() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns >= 40).unwrap_or(WIDTH)
}

/// The rows as a table, and how many more there are.
pub(super) fn table(section: &Section, rows: &[Row], all: u64) -> String {
    if rows.is_empty() {
        return format!("no {}\n", section.rows);
    }
    let visible: Vec<_> = rows.iter().map(|row| visible_row(section, row)).collect();
    let layout = Layout::of(section, &visible, room());
    let lines = visible.iter().map(|row| layout.line(row));
    let mut text = std::iter::once(layout.header()).chain(lines).collect::<Vec<_>>().join("\n") + "\n";
    let more = all.saturating_sub(rows.len() as u64);
    if more > 0 {
        text += &format!("… and {more} more\n");
    }
    text
}
