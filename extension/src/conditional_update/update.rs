//! The update itself: one statement that changes the row or does nothing, and the exact reason if it did nothing.

use super::cache::cache_key::CacheKey;
use super::cache::cached_update::{CachedUpdate, LockStatement, require_latest};
use super::cache::{self, plan};
use super::catalog::names::relation_name;
use super::catalog::table::{Column, Table};
use super::grammar::{Columns, Expectation, Expression, Filter, Scalar};
use super::outcome::{Outcome, UpdatedRow};
use super::present;
use super::sql::writer::{Writer, WrittenStatement};
use crate::input::document::Path;
use crate::pg::error::Error;
use crate::pg::invalidation::generation;
use crate::pg::spi::Rows;
use pgrx::pg_sys::{Oid, TimestampTz};

/// The arguments of a call, read from the documents.
#[derive(Debug)]
pub struct ParsedUpdate {
    pub target: Oid,
    pub key: Columns<Scalar>,
    pub changes: Columns<Expression>,
    pub changes_sql: Columns<String>,
    pub expected: Columns<Expectation>,
    pub filter: Option<Filter>,
    pub filter_sql: Option<String>,
    /// The time for each `{"now": true}`.
    pub now: TimestampTz,
}

/// How often an update is tried that did nothing although all conditions hold when they are evaluated. A second
/// attempt is enough for the row, which is locked by then, but other tables can change between two statements.
const MOST_ATTEMPTS: usize = 8;

impl ParsedUpdate {
    /// Looks up and converts everything before the first row is touched, so that a mistake is found whatever the row
    /// holds. The statements are kept under the key.
    pub fn run(&self, cache_key: Option<CacheKey>) -> Result<Outcome, Error> {
        let generation = generation();
        let table = Table::open_or_view(self.target)?;
        let update = self.update(&table)?;
        let lock = match &update.reads_more {
            Some(place) => Some(self.lock(&table, place)?),
            None => None,
        };
        let lock = lock.as_ref();
        // What is behind a view may change without the view.
        if let Some(key) = cache_key.filter(|_| !table.is_view())
            && let Some(cached) = CachedUpdate::new(generation, &table, lock, &update, &key.members)?
        {
            cache::keep(key, cached);
        }
        if let Some(lock) = lock {
            update.bind()?;
            if !is_locked(&lock.statement)? {
                return Ok(Outcome::NotFound);
            }
        }
        match self.only_row(&update)? {
            Some(row) => self.updated(&table, row),
            None => self.explain_on(&table),
        }
    }

    fn updated(&self, table: &Table, row: UpdatedRow) -> Result<Outcome, Error> {
        match table.may_change_rows_afterwards() {
            true => present::after_triggers(self.target, &self.key, row, self.now),
            false => Ok(row),
        }
        .map(Outcome::Updated)
    }

    /// Looks up and converts everything, without looking at a row.
    pub fn check(&self) -> Result<(), Error> {
        let table = Table::open_or_view(self.target)?;
        let update = self.update(&table)?;
        update.bind()?;
        update.reads_more.as_deref().map_or(Ok(()), require_latest)
    }

    /// Why an update has just done nothing, in which the part at `reads_more` reads more than the row. If there is no
    /// reason any more, it is done now.
    pub fn explain(&self, reads_more: Option<&str>) -> Result<Outcome, Error> {
        let table = Table::open_or_view(self.target)?;
        if let Some(place) = reads_more
            && !is_locked(&self.lock(&table, place)?.statement)?
        {
            return Ok(Outcome::NotFound);
        }
        self.explain_on(&table)
    }

    fn explain_on(&self, table: &Table) -> Result<Outcome, Error> {
        for _ in 1..MOST_ATTEMPTS {
            match self.evaluate(table)? {
                Evaluation::NotFound => return Ok(Outcome::NotFound),
                Evaluation::Unmet(names) => return Ok(Outcome::Unmet(names)),
                Evaluation::Met => {}
            }
            let update = self.update(table)?;
            if let Some(row) = self.only_row(&update)? {
                return self.updated(table, row);
            }
            if update.reads_more.is_none() {
                // All conditions hold for the row, which is locked: only a trigger can have prevented the update.
                break;
            }
        }
        Err(Error::Suppressed { write: "update of", table: table.name.clone() })
    }

    fn only_row(&self, statement: &WrittenStatement) -> Result<Option<UpdatedRow>, Error> {
        plan::run(statement, |rows| only_row(rows, self.target))?
    }

    /// The lock on the row, for an update in which the part at `place` reads more than the row.
    fn lock<'d>(&'d self, table: &Table, place: &str) -> Result<LockStatement<'d>, Error> {
        require_latest(place)?;
        let mut writer = Writer::new(table, self.now);
        writer.push("SELECT FROM ");
        let columns = self.where_key(&mut writer)?;
        if !table.is_unique(&columns) {
            writer.push(" LIMIT 2");
        }
        writer.push_lock();
        let reads_more = place.to_owned();
        Ok(LockStatement { statement: writer.finish(), members: self.key.len(), columns, reads_more })
    }

    /// `UPDATE … WHERE key AND conditions RETURNING the row`. Nothing but columns is returned: where the table is
    /// distributed, the nodes compute what else there is, and may not have the functions.
    fn update<'d>(&'d self, table: &Table) -> Result<WrittenStatement<'d>, Error> {
        let mut writer = Writer::new(table, self.now);
        writer.update(&self.changes, &self.changes_sql)?;
        let (key, columns) = writer.key(writer.target, &self.key, &Path::root("key"))?;
        writer.push(" WHERE ").push(&key);
        for (_, condition) in self.conditions(&mut writer)? {
            writer.push(" AND ").push(&condition);
        }
        if !table.is_unique(&columns) {
            let (key, _) = writer.key(writer.twin(), &self.key, &Path::root("key"))?;
            let count = writer.count_of_twins(&key);
            writer.push(" AND ").push(&count).push(" OPERATOR(pg_catalog.=) 1::pg_catalog.int8");
        }
        writer.push(" RETURNING target.*");
        if table.is_view_on_others() {
            writer.reads_more(&Path::root("target"));
        }
        Ok(writer.finish())
    }

    /// Every condition, with its name in `unmet`.
    fn conditions<'d>(&'d self, writer: &mut Writer<'d, '_>) -> Result<Vec<(&'d str, String)>, Error> {
        let mut conditions = Vec::with_capacity(self.expected.len() + 2);
        for (name, expectation) in &self.expected {
            let path = Path::root("expected");
            let sql = writer.expectation(name, expectation, &path.member(name))?;
            conditions.push((name.as_str(), sql));
        }
        if let Some(filter) = &self.filter {
            let sql = writer.filter(writer.target, filter, &Path::root("filter"))?;
            conditions.push(("filter", sql));
        }
        if let Some(sql) = &self.filter_sql {
            conditions.push(("filter_sql", writer.raw_filter(sql)?));
        }
        Ok(conditions)
    }

    /// `table AS target WHERE key`. Returns the columns that are compared with a value.
    fn where_key<'d>(&'d self, writer: &mut Writer<'d, '_>) -> Result<Vec<Column>, Error> {
        let (key, columns) = writer.key(writer.target, &self.key, &Path::root("key"))?;
        writer.push_target().push(" WHERE ").push(&key);
        Ok(columns)
    }

    /// Evaluates each condition on the row as it is now, under its lock, so that the answer can't be stale.
    fn evaluate(&self, table: &Table) -> Result<Evaluation, Error> {
        let mut writer = Writer::new(table, self.now);
        let (names, conditions): (Vec<_>, Vec<_>) = self.conditions(&mut writer)?.into_iter().unzip();
        writer.push("SELECT ").push(&conditions.join(", "));
        writer.push(" FROM ");
        self.where_key(&mut writer)?;
        writer.push(" LIMIT 2 FOR NO KEY UPDATE OF target");
        let (found, unmet) = plan::run(&writer.finish(), |rows| {
            let failed = |(at, name): (usize, &&str)| (rows.get(0, at) != Some(true)).then(|| (*name).to_owned());
            let unmet: Vec<String> = names.iter().enumerate().filter_map(failed).collect();
            (rows.len(), unmet)
        })?;
        match found {
            0 => Ok(Evaluation::NotFound),
            1 if unmet.is_empty() => Ok(Evaluation::Met),
            1 => Ok(Evaluation::Unmet(unmet)),
            _ => Err(several_rows(self.target)),
        }
    }
}

enum Evaluation {
    NotFound,
    Unmet(Vec<String>),
    Met,
}

/// Runs the lock. False if there is no such row.
///
/// It looks twice: while the statement waited for a row, that row may have got another key, and another row its key.
fn is_locked(lock: &WrittenStatement) -> Result<bool, Error> {
    Ok(plan::run(lock, Rows::len)? > 0 || plan::run(lock, Rows::len)? > 0)
}

/// The row of a statement that must find one row or none. It can return more only if a unique index is damaged.
pub fn only_row(rows: &Rows, target: Oid) -> Result<Option<UpdatedRow>, Error> {
    match rows.len() > 1 {
        true => Err(several_rows(target)),
        false => UpdatedRow::first(rows, target),
    }
}

fn several_rows(target: Oid) -> Error {
    Error::Ambiguous {
        what: format!("key matches several rows of {}", relation_name(target)),
        hint: "Name columns in key that identify one row, such as those of the primary key.",
    }
}

/// Refuses a document that names no column.
pub fn require_columns<T>(argument: &'static str, columns: &[T]) -> Result<(), Error> {
    match columns.is_empty() {
        false => Ok(()),
        true => Err(Error::invalid(argument, "must not be empty", "Name at least one column.")),
    }
}
