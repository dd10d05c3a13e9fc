//! The update itself: one statement that changes the row or does nothing, and the exact reason if it did nothing.

use super::cache::cache_key::CacheKey;
use super::cache::cached_update::{CachedUpdate, LockStatement, require_latest};
use super::cache::{self, plan};
use super::catalog::names::relation_name;
use super::catalog::side_effects::SideEffects;
use super::catalog::table::{Column, Table};
use super::grammar::{Columns, Expectation, Expression, Filter, Scalar};
use super::outcome::{Outcome, UpdatedRow};
use super::present::Returned;
use super::sql::writer::{Writer, WrittenStatement};
use crate::input::document::Path;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::invalidation::generation;
use crate::pg::spi::Rows;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{Oid, TimestampTz};
use std::rc::Rc;

/// The arguments of a call, read from the documents.
#[derive(Debug)]
pub struct ParsedUpdate {
    pub target: Oid,
    pub key: Columns<Scalar>,
    /// Is the key the id of a tracked resource?
    pub by_id: bool,
    pub changes: Columns<Expression>,
    pub changes_sql: Columns<String>,
    pub expected: Columns<Expectation>,
    pub filter: Option<Filter>,
    pub filter_sql: Option<String>,
    /// The time for each `{"now": true}`.
    pub now: TimestampTz,
}

/// How often an update is tried that did nothing although all conditions hold when they are evaluated, and how often a
/// row is looked for that is lost again. A second attempt is mostly enough, but other tables, and the row of a key
/// before it is locked, can change between two statements.
const MOST_ATTEMPTS: usize = 8;

impl ParsedUpdate {
    /// Looks up and converts everything before the first row is touched, so that a mistake is found whatever the row
    /// holds. The statements are kept under the key.
    pub fn run(&self, cache_key: Option<CacheKey>) -> Result<Outcome, Error> {
        let generation = generation();
        let table = Table::open_or_view(self.target)?;
        let update = self.update(&table)?;
        let side_effects = Rc::new(self.side_effects(&table));
        let lock = match &update.reads_more {
            Some(place) => Some(self.lock(&table, place)?),
            None => None,
        };
        let lock = lock.as_ref();
        // What is behind a view may change without the view.
        if let Some(key) = cache_key.filter(|_| !table.is_view())
            && let Some(cached) =
                CachedUpdate::new(generation, &table, lock, &update, Rc::clone(&side_effects), &key.members)?
        {
            cache::keep(key, cached);
        }
        if let Some(lock) = lock {
            update.bind()?;
            if !self.is_locked(&table, &lock.statement)? {
                return Ok(Outcome::NotFound);
            }
        }
        match self.updated_row(&update, &side_effects)? {
            Some(row) => Ok(Outcome::Updated(row)),
            None => self.explain_on(&table),
        }
    }

    fn side_effects(&self, table: &Table) -> SideEffects {
        let changes = self.changes.iter().map(|(name, _)| name.as_str());
        let changes_sql = self.changes_sql.iter().map(|(name, _)| name.as_str());
        SideEffects::of(table, changes.chain(changes_sql))
    }

    /// Runs the update. The row is as all triggers have left it.
    fn updated_row(&self, update: &WrittenStatement, effects: &SideEffects) -> Result<Option<UpdatedRow>, Error> {
        let run = || plan::run(update, |rows| Returned::only(rows, self.target, effects))?;
        let id = self.by_id.then_some(&self.key);
        let row = undone_without_row(effects, run)?;
        row.map(|row| row.after_triggers(self.target, effects, id, self.now)).transpose()
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
            && !self.is_locked(&table, &self.lock(&table, place)?.statement)?
        {
            return Ok(Outcome::NotFound);
        }
        self.explain_on(&table)
    }

    fn explain_on(&self, table: &Table) -> Result<Outcome, Error> {
        for _ in 1..MOST_ATTEMPTS {
            match self.locked(table, || self.evaluate(table))? {
                None => return Ok(Outcome::NotFound),
                Some(unmet) if !unmet.is_empty() => return Ok(Outcome::Unmet(unmet)),
                Some(_) => {}
            }
            let update = self.update(table)?;
            if let Some(row) = self.updated_row(&update, &self.side_effects(table))? {
                return Ok(Outcome::Updated(row));
            }
            if update.reads_more.is_none() {
                // All conditions hold for the row, which is locked: only a trigger can have prevented the update.
                break;
            }
        }
        Err(Error::Suppressed { write: "update of", table: table.name.clone() })
    }

    /// Looks at the row of the key by `look`, which locks it, until that finds it or there is none.
    ///
    /// While a look waits for a row, that row may be removed or get another key, and another row may get its key: then
    /// the look has lost the row although there was one all the time.
    fn locked<T>(&self, table: &Table, look: impl Fn() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        for _ in 1..MOST_ATTEMPTS {
            let found = look()?;
            if found.is_some() || sabotage::removed(Guard::LookAgain) || !self.is_there(table)? {
                return Ok(found);
            }
        }
        look()
    }

    fn is_locked(&self, table: &Table, lock: &WrittenStatement) -> Result<bool, Error> {
        let look = || Ok((plan::run(lock, Rows::len)? > 0).then_some(()));
        Ok(self.locked(table, look)?.is_some())
    }

    /// Is there a row with the key, locked or not?
    fn is_there(&self, table: &Table) -> Result<bool, Error> {
        let mut writer = Writer::new(table, self.now);
        writer.push("SELECT FROM ");
        self.where_key(&mut writer)?;
        writer.push(" LIMIT 1");
        Ok(plan::run(&writer.finish(), Rows::len)? > 0)
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

    /// The names of the conditions that fail on the row as it is now, under its lock, so that the answer can't be
    /// stale. `None` if it finds no row.
    fn evaluate(&self, table: &Table) -> Result<Option<Vec<String>>, Error> {
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
            0 => Ok(None),
            1 => Ok(Some(unmet)),
            _ => Err(several_rows(self.target)),
        }
    }
}

/// Runs an update. If it returns no row, and may have written something nevertheless, it is undone.
pub fn undone_without_row<T>(
    effects: &SideEffects,
    update: impl FnOnce() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    match effects.without_row && !sabotage::removed(Guard::UndoneWithoutRow) {
        true => attempt(update),
        false => update(),
    }
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
