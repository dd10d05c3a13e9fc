//! Updates of many rows by id and status, for crash rules: what becomes of the resources whose operation died in that status.
//!
//! Everything runs as the current role; whoever runs a rule has switched to the role that answers for it. And everything
//! looks at what is committed by now, whatever the isolation level: to a snapshot from before, a resource that was
//! made since would be gone.

use super::cache::plan;
use super::catalog::operators::{Operator, base_type};
use super::catalog::table::{Column, Table};
use super::grammar::{self, Columns, Expression, Literal, Scalar};
use super::ids::{Ids, is_refusal};
use super::sql::bind::Input;
use super::sql::condition::no_equality;
use super::sql::writer::{Row, Statement, Writer};
use crate::input::document::{Members, Path};
use crate::input::jsonb::Jsonb;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::spi::{Plan, Rows, View};
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, Oid, TimestampTz};
use std::rc::Rc;

/// The argument that a rule's changes come in.
const CHANGES: &str = "changes";

/// A rule and its table.
#[derive(Debug)]
pub struct RulePlan {
    target: Oid,
    /// Without changes, it is only looked which rows there are.
    changes: Option<Columns<Expression>>,
    id_column: String,
    /// The status column, and the status.
    status: Columns<Scalar>,
}

/// Checks a `jsonb` of changes as far as that can be done without a row: grammar, columns, literals.
///
/// # Safety
/// `changes` is a jsonb.
pub unsafe fn validate_changes(target: Oid, changes: Datum) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let changes = read(unsafe { Jsonb::new(changes) }.members(CHANGES)?)?;
    check(&Table::open(target)?, &changes)
}

impl RulePlan {
    /// Reads a rule. What its table says about it, beside the names of the two columns, is found out when it runs.
    pub fn prepare(
        target: Oid,
        changes: Option<&serde_json::Value>,
        id_column: &str,
        status_column: &str,
        status: &str,
    ) -> Result<Self, Error> {
        let members = changes.map(|changes| Members::of(changes, &Path::root(CHANGES)));
        let changes = members.transpose()?.map(read).transpose()?;
        let table = Table::open(target)?;
        table.column(id_column, &Path::root("id_column"))?;
        table.column(status_column, &Path::root("status_column"))?;
        let status = Some(Literal::Text(status.to_owned()));
        Ok(RulePlan {
            target,
            changes,
            id_column: id_column.to_owned(),
            status: vec![(status_column.to_owned(), status)],
        })
    }

    /// Updates the rows with these ids that still have the status, or just looks for them. Returns for each id whether
    /// there was one. If it fails some may have been updated: undo it then.
    ///
    /// A text that the column's type refuses is the id, or the status, of no row.
    pub fn run(&self, ids: &[&str]) -> Result<Vec<bool>, Error> {
        let table = Table::open(self.target)?;
        let column = table.column(&self.id_column, &Path::root("id_column"))?;
        if !self.is_possible(&table)? {
            return Ok(vec![false; ids.len()]);
        }
        let mut found = vec![false; ids.len()];
        let ids = Ids::read(ids, &column)?;
        match &self.changes {
            Some(changes) => self.update(changes, &table, &column, &ids, &mut found)?,
            None => self.look(&table, &column, &ids, &mut found)?,
        }
        Ok(found)
    }

    fn update(
        &self,
        changes: &Columns<Expression>,
        table: &Table,
        column: &Column,
        ids: &Ids,
        found: &mut [bool],
    ) -> Result<(), Error> {
        let mut writer = Writer::new(table, now());
        writer.update(changes, &Vec::new(), &Path::root(CHANGES))?;
        writer.push(" FROM ");
        self.join(&mut writer, column, ids)?;
        writer.push(" RETURNING work.number");
        if !table.is_unique(std::slice::from_ref(column)) {
            self.count_twins(&mut writer, column)?;
        }
        let update = writer.finish();
        if update.reads_more {
            self.lock(table, column, ids)?;
        }
        run(&update, ids, |rows| {
            if (0..rows.len()).any(|row| rows.get::<i64>(row, 1) > Some(1)) {
                return Err(several_rows());
            }
            ids.mark(rows, found);
            Ok(())
        })??;
        self.refuse_suppressed(table, column, ids, found)
    }

    /// A statement that has to wait for a row sees the row anew, and all else as it was before the wait: so where a value
    /// depends on other tables, it must not have to wait.
    fn lock(&self, table: &Table, column: &Column, ids: &Ids) -> Result<(), Error> {
        let mut writer = Writer::new(table, now());
        writer.push("SELECT FROM ");
        writer.push(&table.name).push(" AS target, ");
        self.join(&mut writer, column, ids)?;
        writer.push(" FOR NO KEY UPDATE OF target");
        run(&writer.finish(), ids, |_| ())
    }

    fn look(
        &self,
        table: &Table,
        column: &Column,
        ids: &Ids,
        found: &mut [bool],
    ) -> Result<(), Error> {
        let mut writer = Writer::new(table, now());
        writer.push("SELECT work.number FROM ");
        writer.push(&table.name).push(" AS target, ");
        self.join(&mut writer, column, ids)?;
        run(&writer.finish(), ids, |rows| ids.mark(rows, found))
    }

    /// A row that wasn't updated and has the status all the same isn't somebody else's by now: a trigger kept the rule from it.
    fn refuse_suppressed(
        &self,
        table: &Table,
        column: &Column,
        ids: &Ids,
        updated: &[bool],
    ) -> Result<(), Error> {
        let missed = ids.without(updated);
        if missed.is_empty() {
            return Ok(());
        }
        let mut left = vec![false; updated.len()];
        self.look(table, column, &missed, &mut left)?;
        match left.contains(&true) {
            false => Ok(()),
            true => Err(Error::Suppressed {
                write: "update of",
                table: table.name.clone(),
            }),
        }
    }

    /// The ids beside the rows that they are of: `unnest($1) … AS work WHERE target.id = work.id AND target.status = $2`.
    fn join<'d>(
        &'d self,
        writer: &mut Writer<'d, '_>,
        column: &Column,
        ids: &Ids,
    ) -> Result<(), Error> {
        let path = Path::root("resource");
        let target = writer.target;
        let work = match ids.only() {
            // To the planner the same as `WHERE target.id = $1`.
            Some((id, type_oid)) => {
                let id = writer.given(id, type_oid, &path);
                format!("(VALUES ({id}, 1::pg_catalog.int8))")
            }
            None => {
                let (array, array_type) = ids.array()?;
                let array = writer.given(array, array_type, &path);
                format!("pg_catalog.unnest({array}) WITH ORDINALITY")
            }
        };
        let same_row = self.same_row(writer, target, column)?;
        writer
            .push(&work)
            .push(" AS work (id, number) WHERE ")
            .push(&same_row);
        Ok(())
    }

    fn same_row<'d>(
        &'d self,
        writer: &mut Writer<'d, '_>,
        row: Row,
        column: &Column,
    ) -> Result<String, Error> {
        let path = Path::root("resource");
        let type_oid = base_type(column.type_oid);
        let equality = Operator::equality(type_oid).ok_or_else(|| no_equality(type_oid, &path))?;
        let same_id = equality.compare(&row.column(column), "work.id");
        let (same_status, _) = writer.key(row, &self.status, &path)?;
        Ok(format!("{same_id} AND {same_status}"))
    }

    /// `, how many rows have the id`, where no constraint says that it is one.
    fn count_twins<'d>(
        &'d self,
        writer: &mut Writer<'d, '_>,
        column: &Column,
    ) -> Result<(), Error> {
        let table = writer.target.table;
        let alias = "twin";
        let same_row = self.same_row(writer, Row { table, alias }, column)?;
        writer
            .push(", (SELECT pg_catalog.count(*) FROM (SELECT FROM ")
            .push(&table.name)
            .push(" AS twin WHERE ")
            .push(&same_row)
            .push(" LIMIT 2) AS found)");
        Ok(())
    }

    /// Does the status column's type take the status at all? Asked in a subtransaction, since a refusal is an error of Postgres.
    fn is_possible(&self, table: &Table) -> Result<bool, Error> {
        let mut writer = Writer::new(table, now());
        let target = writer.target;
        writer.key(target, &self.status, &Path::root("resource"))?;
        let statement = writer.finish();
        if statement
            .parameters
            .iter()
            .all(|it| Input::of(it).takes_all())
        {
            return Ok(true);
        }
        match attempt(|| statement.bind().map(Some)) {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

/// By a kept plan for one id. For many it is worth a plan that knows how many, and how large the table is by now.
fn run<R>(statement: &Statement, ids: &Ids, read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
    let args = statement.bind()?;
    let shape = &statement.shape;
    let plan = match ids.only() {
        Some(_) => plan::plan(shape)?,
        None => Rc::new(Plan::prepare_for_each(&shape.sql, &shape.types)?),
    };
    let view = match sabotage::removed(Guard::RuleView) {
        false => View::Latest,
        true => View::Transaction,
    };
    plan.run(view, &args, read)
}

fn several_rows() -> Error {
    Error::Ambiguous {
        what: "several rows have that id".to_owned(),
        hint: "The id column must identify one row.",
    }
}

fn read(changes: Members) -> Result<Columns<Expression>, Error> {
    super::not_empty(CHANGES, grammar::changes(changes, &Path::root(CHANGES))?)
}

fn check(table: &Table, changes: &Columns<Expression>) -> Result<(), Error> {
    let mut writer = Writer::new(table, now());
    writer.update(changes, &Vec::new(), &Path::root(CHANGES))?;
    writer.finish().bind()?;
    Ok(())
}

fn now() -> TimestampTz {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
