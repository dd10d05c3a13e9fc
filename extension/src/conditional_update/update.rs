//! The update itself: one statement that goes through or changes nothing, and the exact reason if it did nothing.

use super::cache::cache_key::Signature;
use super::cache::cached_update::Recipe;
use super::cache::{plan, updates};
use super::catalog::table::{Column, Table, relation_name};
use super::grammar::{Columns, Expectation, Expression, Filter, Scalar};
use super::outcome::{self, Outcome};
use super::sql::writer::{Row, Statement, Writer};
use crate::input::document::Path;
use crate::pg::error::Error;
use crate::pg::invalidation::generation;
use crate::pg::spi::{Rows, transaction_snapshot_only};
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{Oid, TimestampTz};

/// What a caller asks for, read from the documents.
#[derive(Debug)]
pub struct Request {
    pub target: Oid,
    pub key: Columns<Scalar>,
    pub changes: Columns<Expression>,
    pub changes_sql: Columns<String>,
    pub expected: Columns<Expectation>,
    pub filter: Option<Filter>,
    pub filter_sql: Option<String>,
    /// What the database's clock says, the same in each place of the documents.
    pub now: TimestampTz,
}

/// How often an update is tried whose conditions hold when one looks why it did nothing. Once more is enough for the row,
/// which we have locked by then; but other tables can change between two statements.
const MOST_ATTEMPTS: usize = 8;

impl Request {
    /// Everything is looked up and converted before the first row is touched, so that a mistake is found whatever the
    /// row is like.
    pub fn run(&self, signature: Option<Signature>) -> Result<Outcome, Error> {
        let generation = generation();
        let table = Table::open_or_view(self.target)?;
        let update = self.update(&table)?;
        let lock = match update.reads_more {
            true => self.lock(&table)?,
            false => None,
        };
        if let Some(signature) = signature
            && !table.is_view()
        {
            // What is behind a view may change without the view.
            let statements = (lock.as_ref(), &update);
            let recipe = Recipe::new(generation, self, &table, statements, &signature.parts)?;
            updates::keep(signature, recipe);
        }
        if lock.is_some() {
            update.bind()?;
        }
        if !locked(lock.as_ref())? {
            return Ok(Outcome::NotFound);
        }
        match plan::run(&update, |rows| only_row(rows, self.target))?? {
            Some(row) => Ok(Outcome::Updated(row)),
            None => self.explain_on(&table),
        }
    }

    /// Looks everything up and converts it.
    pub fn check(&self) -> Result<(), Error> {
        let table = Table::open_or_view(self.target)?;
        self.update(&table)?.bind()?;
        Ok(())
    }

    /// The row of the key as it is.
    pub fn present(&self) -> Result<Option<outcome::Row>, Error> {
        let table = Table::open_or_view(self.target)?;
        let mut writer = Writer::new(&table, self.now);
        writer.push("SELECT pg_catalog.to_jsonb(target.*) FROM ");
        self.where_key(&mut writer)?;
        writer.push(" LIMIT 2");
        plan::run(&writer.finish(), |rows| only_row(rows, self.target))?
    }

    /// Why an update has just done nothing; it is done now if there is no reason any more.
    pub fn explain(&self, reads_more: bool) -> Result<Outcome, Error> {
        let table = Table::open_or_view(self.target)?;
        if reads_more && !locked(self.lock(&table)?.as_ref())? {
            return Ok(Outcome::NotFound);
        }
        self.explain_on(&table)
    }

    fn explain_on(&self, table: &Table) -> Result<Outcome, Error> {
        for _ in 1..MOST_ATTEMPTS {
            match self.judge(table)? {
                Verdict::NotFound => return Ok(Outcome::NotFound),
                Verdict::Unmet(names) => return Ok(Outcome::Unmet(names)),
                Verdict::Met => {}
            }
            let update = self.update(table)?;
            if let Some(row) = plan::run(&update, |rows| only_row(rows, self.target))?? {
                return Ok(Outcome::Updated(row));
            }
            if !update.reads_more {
                // All conditions hold of the row that we have locked: nothing but a trigger can be in the way.
                break;
            }
        }
        Err(Error::Suppressed {
            write: "update of",
            table: table.name.clone(),
        })
    }

    /// The lock on the row, for an update that looks at other tables: a statement that has to wait for a row sees the row
    /// anew, and all else as it was before the wait. So it must not have to wait.
    fn lock<'d>(&'d self, table: &Table) -> Result<Option<Statement<'d>>, Error> {
        if sabotage::removed(Guard::LockFirst) {
            return Ok(None);
        }
        let mut writer = Writer::new(table, self.now);
        writer.push("SELECT FROM ");
        let given = self.where_key(&mut writer)?;
        if !table.is_unique(&given) {
            writer.push(" LIMIT 2");
        }
        writer.push(" FOR NO KEY UPDATE OF target");
        Ok(Some(writer.finish()))
    }

    /// `UPDATE … WHERE key AND conditions RETURNING the row, how many rows the key has`.
    fn update<'d>(&'d self, table: &Table) -> Result<Statement<'d>, Error> {
        let mut writer = Writer::new(table, self.now);
        writer.update(&self.changes, &self.changes_sql, &Path::root("changes"))?;
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

    /// `table AS target WHERE key`. Returns the columns that must not be NULL.
    fn where_key<'d>(&'d self, writer: &mut Writer<'d, '_>) -> Result<Vec<Column>, Error> {
        let target = writer.target;
        let (key, given) = writer.key(target, &self.key, &Path::root("key"))?;
        writer
            .push(&target.table.name)
            .push(" AS target WHERE ")
            .push(&key);
        Ok(given)
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
        let (found, unmet) = plan::run(&writer.finish(), |rows| {
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
            _ => Err(several_rows(self.target)),
        }
    }
}

/// Runs the lock, if there is one. False if there is no such row.
///
/// Twice: the row that a statement waited for may have another key by now, and another row its key.
fn locked(lock: Option<&Statement>) -> Result<bool, Error> {
    let Some(lock) = lock.filter(|_| !transaction_snapshot_only()) else {
        return Ok(true);
    };
    Ok(plan::run(lock, Rows::len)? > 0 || plan::run(lock, Rows::len)? > 0)
}

enum Verdict {
    NotFound,
    Unmet(Vec<String>),
    Met,
}

/// The row of an update that has to touch one or none. It may touch more only if a unique index is damaged.
pub fn only_row(rows: &Rows, target: Oid) -> Result<Option<outcome::Row>, Error> {
    let by_key = rows.get::<i64>(0, 1);
    match rows.len() > 1 || by_key.is_some_and(|by_key| by_key > 1) {
        true => Err(several_rows(target)),
        false => Ok(rows.get(0, 0)),
    }
}

fn several_rows(target: Oid) -> Error {
    Error::Ambiguous {
        what: format!("key matches several rows of {}", relation_name(target)),
        hint: "Name columns in key that identify one row, such as those of the primary key.",
    }
}
