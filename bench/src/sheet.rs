//! Tables, for the terminal and as JSON for programs.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::rounds::Rounds;

#[derive(Debug, Clone)]
pub enum Field {
    Text(String),
    Number(f64),
    /// On the terminal the median and the spread, for programs each round.
    Rounds(Rounds),
}

impl Field {
    pub fn text(text: impl ToString) -> Field {
        Field::Text(text.to_string())
    }

    fn json(&self) -> String {
        // Only significant digits.
        let short = |number: &f64| (number * 1000.0).round() / 1000.0;
        let json = match self {
            Field::Text(text) => json!(text),
            Field::Number(number) if number.fract() == 0.0 => json!(*number as i64),
            Field::Number(number) => json!(short(number)),
            Field::Rounds(rounds) => rounds.0.iter().map(short).collect(),
        };
        json.to_string()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Text(text) => f.write_str(text),
            Field::Number(number) if number.fract() == 0.0 => write!(f, "{number}"),
            Field::Number(number) => write!(f, "{number:.2}"),
            Field::Rounds(rounds) => write!(f, "{rounds}"),
        }
    }
}

#[derive(Debug)]
pub struct Sheet {
    name: &'static str,
    about: String,
    header: Vec<&'static str>,
    pub rows: Vec<Vec<Field>>,
}

impl Sheet {
    /// The names of the columns are separated by `|`; columns without a field in any row are left out.
    pub fn new(name: &'static str, about: impl Into<String>, header: &'static str, rows: Vec<Vec<Field>>) -> Sheet {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(usize::MAX);
        Sheet { name, about: about.into(), header: header.split('|').take(longest).collect(), rows }
    }

    /// One row a line, so that two runs can be compared by `diff`.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let named = self.header.iter().zip(row);
            let fields = named.map(|(name, field)| format!("{}: {}", json!(name), field.json()));
            format!("\n{{{}}}", fields.collect::<Vec<_>>().join(", "))
        });
        let rows = rows.collect::<Vec<_>>().join(",");
        let (name, about) = (json!(self.name), json!(self.about));
        format!("{name}: {{\"about\": {about}, \"rows\": [{rows}]}}")
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(&self.header);
        table.add_rows(&self.rows);
        let is_text = |column: usize| {
            let mut fields = self.rows.iter().filter_map(|row| row.get(column));
            fields.all(|field| matches!(field, Field::Text(_)))
        };
        for (at, column) in table.column_iter_mut().enumerate() {
            if !is_text(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        write!(f, "{}: {}\n\n{table}\n", self.name, self.about)
    }
}
