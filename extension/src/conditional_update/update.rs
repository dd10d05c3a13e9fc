//! The update itself: one statement that goes through or changes nothing, and the exact reason if it did nothing.

use super::bind::Bound;
use super::document::Path;
use super::grammar::{Columns, Condition, Scalar, Value};
use super::outcome::{Outcome, Row};
use super::plan;
use super::render::{Statement, Writer};
use super::target::Table;
use crate::error::Error;
use crate::fence;
use pgrx::pg_sys::Oid;

/// What a caller asks for, read from the documents.
#[derive(Debug)]
pub struct Request {
    pub target: Oid,
    pub key: Columns<Scalar>,
    pub values: Columns<Value>,
    pub expected: Columns<Condition>,
    /// The token that must be held.
    pub fence: Option<i64>,
}

impl Request {
    /// The fence comes first: a lock on the user's table, held while we wait for a gate, could make a deadlock with the
    /// cleanup that holds the gate. Then everything is looked up and converted before the first row is touched, so that
    /// a mistake is found whatever the row is like.
    pub fn run(&self) -> Result<Outcome, Error> {
        match self.fence {
            Some(token) if !fence::hold(token)? => return Ok(Outcome::Fenced),
            _ => {}
        }
        let table = Table::open(self.target)?;
        let update = self.update(&table)?.bind()?;
        if let Some(row) = run_on_one(&update, &table)? {
            return Ok(Outcome::Updated(row));
        }
        match self.judge(&table)? {
            Verdict::NotFound => Ok(Outcome::NotFound),
            Verdict::Unmet(columns) => Ok(Outcome::Unmet(columns)),
            // The row has changed since, and we hold its lock: now nothing but a trigger can be in the way.
            Verdict::Met => match run_on_one(&update, &table)? {
                Some(row) => Ok(Outcome::Updated(row)),
                None => Err(Error::Suppressed {
                    table: table.name.clone(),
                }),
            },
        }
    }

    /// `UPDATE … WHERE key AND conditions RETURNING the row, how many rows the key has`.
    fn update<'d>(&'d self, table: &Table) -> Result<Statement<'d>, Error> {
        let mut writer = Writer::new(table);
        writer.update(&self.values, &Path::root("values"))?;
        let unique = self.where_key(&mut writer, table)?;
        for (name, condition) in &self.expected {
            writer.push(" AND ").condition(
                name,
                condition,
                &Path::root("expected").member(name),
            )?;
        }
        writer.push(" RETURNING pg_catalog.to_jsonb(t.*)");
        if !unique {
            writer
                .push(", (SELECT pg_catalog.count(*) FROM (SELECT FROM ")
                .push(&table.name)
                .push(" AS k WHERE ");
            writer.key("k", &self.key, &Path::root("key"))?;
            writer.push(" LIMIT 2) AS found)");
        }
        Ok(writer.finish())
    }

    /// Returns whether the key has one row at most, by a constraint.
    fn where_key<'d>(&'d self, writer: &mut Writer<'d, '_>, table: &Table) -> Result<bool, Error> {
        let given = writer
            .push(" WHERE ")
            .key("t", &self.key, &Path::root("key"))?;
        Ok(table.is_unique(&given))
    }

    /// Evaluates each condition on the row as it is now, under its lock, so that the answer can't be stale.
    fn judge(&self, table: &Table) -> Result<Verdict, Error> {
        let judgement = self.judgement(table)?.bind()?;
        let (found, unmet) = plan::run(&judgement, |rows| {
            let failed = |(at, (name, _)): (usize, &(String, Condition))| {
                (rows.get(0, at) != Some(true)).then(|| name.clone())
            };
            let unmet: Vec<String> = self
                .expected
                .iter()
                .enumerate()
                .filter_map(failed)
                .collect();
            (rows.len(), unmet)
        })?;
        match found {
            0 => Ok(Verdict::NotFound),
            1 if unmet.is_empty() => Ok(Verdict::Met),
            1 => Ok(Verdict::Unmet(unmet)),
            _ => Err(several_rows(table)),
        }
    }

    /// `SELECT each condition WHERE key FOR NO KEY UPDATE`.
    fn judgement<'d>(&'d self, table: &Table) -> Result<Statement<'d>, Error> {
        let mut writer = Writer::new(table);
        writer.push("SELECT ");
        for (at, (name, condition)) in self.expected.iter().enumerate() {
            writer.push(if at > 0 { ", " } else { "" }).condition(
                name,
                condition,
                &Path::root("expected").member(name),
            )?;
        }
        writer.push(" FROM ").push(&table.name).push(" AS t");
        self.where_key(&mut writer, table)?;
        writer.push(" LIMIT 2 FOR NO KEY UPDATE OF t");
        Ok(writer.finish())
    }
}

enum Verdict {
    NotFound,
    Unmet(Vec<String>),
    Met,
}

/// Runs an update that has to touch one row or none. It may touch more only if a unique index is damaged.
fn run_on_one(update: &Bound, table: &Table) -> Result<Option<Row>, Error> {
    let (updated, by_key, row) = plan::run(update, |rows| {
        (rows.len(), rows.get::<i64>(0, 1), rows.get::<Row>(0, 0))
    })?;
    if updated > 1 || by_key.is_some_and(|by_key| by_key > 1) {
        return Err(several_rows(table));
    }
    Ok(row)
}

fn several_rows(table: &Table) -> Error {
    Error::Ambiguous {
        what: format!("key matches several rows of {}", table.name),
        hint: "Name columns in key that identify one row, such as those of the primary key.",
    }
}
