//! The update itself: one statement that goes through or changes nothing, and the exact reason if it did nothing.

use super::bind::Bound;
use super::document::Path;
use super::grammar::{Columns, Expectation, Expression, Filter, Scalar};
use super::outcome::{self, Outcome};
use super::plan;
use super::render::{Row, Statement, Writer};
use super::target::Table;
use crate::error::Error;
use crate::fence;
use crate::sabotage::{self, Guard};
use crate::spi::{Rows, transaction_snapshot_only};
use pgrx::pg_sys::{Oid, TimestampTz};

/// What a caller asks for, read from the documents.
#[derive(Debug)]
pub struct Request {
    pub target: Oid,
    pub key: Columns<Scalar>,
    pub values: Columns<Expression>,
    pub values_sql: Columns<String>,
    pub expected: Columns<Expectation>,
    pub filter: Option<Filter>,
    pub filter_sql: Option<String>,
    /// The token that must be held.
    pub fence: Option<i64>,
    /// What the database's clock says, the same in each place of the documents.
    pub now: TimestampTz,
}

/// How often an update is tried whose conditions hold when one looks why it did nothing. Once more is enough for the row,
/// which we have locked by then; but other tables can change between two statements.
const MOST_ATTEMPTS: usize = 8;

impl Request {
    /// The fence comes first: a lock on the user's table, held while we wait for a gate, could make a deadlock with the
    /// cleanup that holds the gate. Then everything is looked up and converted before the first row is touched, so that
    /// a mistake is found whatever the row is like.
    pub fn run(&self) -> Result<Outcome, Error> {
        match self.fence {
            Some(token) if !fence::hold(token)? => return Ok(Outcome::Fenced),
            _ => {}
        }
        let table = Table::open_or_view(self.target)?;
        let update = self.update(&table)?.bind()?;
        if update.reads_more && !self.lock(&table)? {
            return Ok(Outcome::NotFound);
        }
        for _ in 0..MOST_ATTEMPTS {
            if let Some(row) = run_on_one(&update, &table)? {
                return Ok(Outcome::Updated(row));
            }
            match self.judge(&table)? {
                Verdict::NotFound => return Ok(Outcome::NotFound),
                Verdict::Unmet(names) => return Ok(Outcome::Unmet(names)),
                Verdict::Met if update.reads_more => {}
                // The row had changed in between, and now we hold its lock.
                Verdict::Met => return run_again(&update, &table),
            }
        }
        Err(suppressed(&table))
    }

    /// Locks the row before the update looks at other tables: a statement that has to wait for a row sees the row anew, and
    /// all else as it was before the wait. Returns whether there is such a row.
    fn lock(&self, table: &Table) -> Result<bool, Error> {
        // On one snapshot nothing can be seen anew; a row that has changed is the standard's 40001.
        if transaction_snapshot_only() || sabotage::removed(Guard::LockFirst) {
            return Ok(true);
        }
        let mut writer = Writer::new(table, self.now);
        writer.push("SELECT FROM ");
        self.where_key(&mut writer)?;
        writer.push(" LIMIT 2 FOR NO KEY UPDATE OF target");
        match plan::run(&writer.finish().bind()?, Rows::len)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(several_rows(table)),
        }
    }

    /// `UPDATE … WHERE key AND conditions RETURNING the row, how many rows the key has`.
    fn update<'d>(&'d self, table: &Table) -> Result<Statement<'d>, Error> {
        let mut writer = Writer::new(table, self.now);
        writer.update(&self.values, &self.values_sql, &Path::root("values"))?;
        let target = writer.target;
        let (key, given) = writer.key(target, &self.key, &Path::root("key"))?;
        writer.push(" WHERE ").push(&key);
        for (_, condition) in self.conditions(&mut writer)? {
            writer.push(" AND ").push(&condition);
        }
        writer.push(" RETURNING pg_catalog.to_jsonb(target.*)");
        if !table.is_unique(&given) {
            let twin = Row {
                table,
                alias: "twin",
            };
            let (key, _) = writer.key(twin, &self.key, &Path::root("key"))?;
            writer
                .push(", (SELECT pg_catalog.count(*) FROM (SELECT FROM ")
                .push(&table.name)
                .push(" AS twin WHERE ")
                .push(&key)
                .push(" LIMIT 2) AS found)");
        }
        Ok(writer.finish())
    }

    /// Every condition, with the name that it has in `unmet`.
    fn conditions<'d>(
        &'d self,
        writer: &mut Writer<'d, '_>,
    ) -> Result<Vec<(&'d str, String)>, Error> {
        let mut conditions = Vec::with_capacity(self.expected.len() + 2);
        for (name, expectation) in &self.expected {
            let path = Path::root("expected");
            let sql = writer.expectation(name, expectation, &path.member(name))?;
            conditions.push((name.as_str(), sql));
        }
        if let Some(filter) = &self.filter {
            let target = writer.target;
            let sql = writer.filter(target, filter, &Path::root("filter"))?;
            conditions.push(("filter", sql));
        }
        if let Some(sql) = &self.filter_sql {
            conditions.push(("filter_sql", writer.raw_filter(sql)?));
        }
        Ok(conditions)
    }

    /// `table AS target WHERE key`.
    fn where_key<'d>(&'d self, writer: &mut Writer<'d, '_>) -> Result<(), Error> {
        let target = writer.target;
        let (key, _) = writer.key(target, &self.key, &Path::root("key"))?;
        writer
            .push(&target.table.name)
            .push(" AS target WHERE ")
            .push(&key);
        Ok(())
    }

    /// Evaluates each condition on the row as it is now, under its lock, so that the answer can't be stale.
    fn judge(&self, table: &Table) -> Result<Verdict, Error> {
        let mut writer = Writer::new(table, self.now);
        let (names, conditions): (Vec<_>, Vec<_>) =
            self.conditions(&mut writer)?.into_iter().unzip();
        writer
            .push("SELECT ")
            .push(&conditions.join(", "))
            .push(" FROM ");
        self.where_key(&mut writer)?;
        writer.push(" LIMIT 2 FOR NO KEY UPDATE OF target");
        let (found, unmet) = plan::run(&writer.finish().bind()?, |rows| {
            let failed = |(at, name): (usize, &&str)| {
                (rows.get(0, at) != Some(true)).then(|| (*name).to_owned())
            };
            let unmet: Vec<String> = names.iter().enumerate().filter_map(failed).collect();
            (rows.len(), unmet)
        })?;
        match found {
            0 => Ok(Verdict::NotFound),
            1 if unmet.is_empty() => Ok(Verdict::Met),
            1 => Ok(Verdict::Unmet(unmet)),
            _ => Err(several_rows(table)),
        }
    }
}

enum Verdict {
    NotFound,
    Unmet(Vec<String>),
    Met,
}

/// All conditions hold of the row that we have locked: now nothing but a trigger can be in the way.
fn run_again(update: &Bound, table: &Table) -> Result<Outcome, Error> {
    match run_on_one(update, table)? {
        Some(row) => Ok(Outcome::Updated(row)),
        None => Err(suppressed(table)),
    }
}

fn suppressed(table: &Table) -> Error {
    Error::Suppressed {
        table: table.name.clone(),
    }
}

/// Runs an update that has to touch one row or none. It may touch more only if a unique index is damaged.
fn run_on_one(update: &Bound, table: &Table) -> Result<Option<outcome::Row>, Error> {
    let (updated, by_key, row) = plan::run(update, |rows| {
        (
            rows.len(),
            rows.get::<i64>(0, 1),
            rows.get::<outcome::Row>(0, 0),
        )
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
