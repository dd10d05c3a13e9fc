//! Rows in columns that fit.

use crate::section::{Column, Kind, Section};
use crate::text::{clipped, width};
use std::borrow::Cow;

/// The narrowest that a text is cut to before columns are left out.
const NARROWEST: usize = 8;
pub(crate) const GAP: usize = 2;
/// Columns of this rank are left out before any text is cut.
const SPARE: u8 = 4;

/// The columns that are shown, with their widths.
#[derive(Debug)]
pub(crate) struct Layout<'s> {
    /// The number of each, itself, its width.
    columns: Vec<(usize, &'s Column, usize)>,
    /// In place of the title of the first one.
    title: Option<&'s str>,
}

impl<'s> Layout<'s> {
    /// Fits these rows, which have the visible values of all columns, into a width: columns that can be spared
    /// are left out, then long texts are cut, then others are left out, by their rank. A column without any value is not
    /// shown, but the first.
    pub(crate) fn of(section: &'s Section, rows: &[Vec<Cow<'_, str>>], room: usize) -> Layout<'s> {
        Layout::titled(section, rows, room, None)
    }

    /// The same, with another title for the first column.
    pub(crate) fn titled(
        section: &'s Section,
        rows: &[Vec<Cow<'_, str>>],
        room: usize,
        title: Option<&'s str>,
    ) -> Layout<'s> {
        let heading = |at: usize, column: &Column| title.filter(|_| at == 0).unwrap_or(column.title).len();
        let measured = section.columns.iter().enumerate().map(|(at, column)| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|value| width(value)).max().unwrap_or(0);
            (at, column, if widest == 0 && column.rank > 0 { 0 } else { widest.max(heading(at, column)) })
        });
        let mut columns: Vec<_> = measured.filter(|(_, _, width)| *width > 0).collect();
        loop {
            let taken = |columns: &[(usize, &Column, usize)]| {
                columns.iter().map(|(_, _, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
            };
            let mut excess = taken(&columns).saturating_sub(room);
            let least = columns.iter().enumerate().max_by_key(|(at, (_, column, _))| (column.rank, *at));
            if let (true, Some((at, (_, column, _)))) = (excess > 0, least)
                && column.rank >= SPARE
            {
                columns.remove(at);
                continue;
            }
            // The widest text gives way, step by step, so that short ones stay whole.
            while excess > 0 {
                let texts = columns.iter_mut().filter(|(at, column, width)| {
                    column.kind == Kind::Text && *width > NARROWEST.max(heading(*at, column))
                });
                let Some(widest) = texts.max_by_key(|(_, _, width)| *width) else { break };
                widest.2 -= 1;
                excess -= 1;
            }
            let last = columns.iter().enumerate().max_by_key(|(at, (_, column, _))| (column.rank, *at));
            match last {
                Some((at, (_, column, _))) if excess > 0 && column.rank > 0 => {
                    columns.remove(at);
                    // What was cut for it may have its room again.
                    for (at, column, width) in &mut columns {
                        let widest = rows.iter().filter_map(|row| row.get(*at)).map(|value| self::width(value)).max();
                        *width = widest.unwrap_or(0).max(heading(*at, column));
                    }
                }
                _ => return Layout { columns, title },
            }
        }
    }

    /// The titles, each with the number of its column, padded.
    pub(crate) fn titles(&self) -> Vec<(usize, String)> {
        let title = |at: usize, column: &'s Column| self.title.filter(|_| at == 0).unwrap_or(column.title);
        self.columns.iter().map(|(at, column, width)| (*at, pad(column, title(*at, column), *width))).collect()
    }

    /// The values of a row, padded.
    pub(crate) fn cells(&self, row: &[Cow<'_, str>]) -> Vec<String> {
        let value = |at: usize| row.get(at).map_or("", |value| &**value);
        self.columns.iter().map(|(at, column, width)| pad(column, value(*at), *width)).collect()
    }

    /// The titles in one line.
    pub(crate) fn header(&self) -> String {
        line(self.titles().into_iter().map(|(_, title)| title).collect())
    }

    /// A row in one line.
    pub(crate) fn line(&self, row: &[Cow<'_, str>]) -> String {
        line(self.cells(row))
    }
}

fn line(cells: Vec<String>) -> String {
    cells.join(&" ".repeat(GAP)).trim_end().to_owned()
}

fn pad(column: &Column, value: &str, columns: usize) -> String {
    let value = clipped(value, columns);
    let space = " ".repeat(columns.saturating_sub(width(&value)));
    if column.is_on_the_right() { space + &value } else { value.into_owned() + &space }
}

/// The visible values of a row.
pub(crate) fn visible_row<'v>(section: &Section, row: &'v [Option<String>]) -> Vec<Cow<'v, str>> {
    section.columns.iter().zip(row).map(|(column, value)| column.shown(value.as_deref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::LOCKS;

    #[test]
    fn what_is_long_is_cut_and_what_is_least_important_goes() {
        let value = |text: &str| Some(text.to_owned());
        let row = [
            value(&format!("volume/{}", "v".repeat(60))),
            None,
            value("extending\u{1b}[2J"),
            value("node-1"),
            value("yes"),
            value("75"),
            value("252744142995266"),
            value("a reason"),
        ];
        let rows = [visible_row(&LOCKS, &row)];
        for room in [140, 100, 80, 60] {
            let layout = Layout::of(&LOCKS, &rows, room);
            let (header, line) = (layout.header(), layout.line(&rows[0]));
            assert!(width(&line) <= room && width(&header) <= room, "{room}: {header}\n{line}");
            assert_eq!(line.contains('…'), room < 120, "{line}");
            assert!(line.contains("1m 15s") && !line.contains('\u{1b}'), "{line}");
            assert_eq!(header.contains("TOKEN"), room >= 120, "{header}");
            assert!(!header.contains("LOCK "), "{header}");
        }
    }
}
