//! Crash rules: updates of many rows by id and status, for the resources whose operation died in that status.
//!
//! All statements run as the current role; the caller has switched to the role of the rule. They see what is committed
//! by now, whatever the isolation level, because an older snapshot would lack a resource that was created since.

use super::cache::plan;
use super::catalog::operators::{Operator, base_type};
use super::catalog::side_effects::SideEffects;
use super::catalog::table::{Column, Table};
use super::grammar::{self, Columns, Expression, Literal, Scalar, Value};
use super::ids::{Ids, is_refusal};
use super::moved;
use super::sql::bind::TypeInput;
use super::sql::condition::no_equality;
use super::sql::writer::{Writer, WrittenStatement};
use super::update::require_columns;
use crate::input::document::{Members, Path};
use crate::input::jsonb::Jsonb;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::spi::{Plan, Rows, View};
use pgrx::pg_sys::{self, Datum, Oid, TimestampTz};
use std::rc::Rc;

/// The argument with a rule's changes.
const CHANGES: &str = "changes";

/// A rule and its table.
#[derive(Debug)]
pub struct RulePlan {
    target: Oid,
    /// `None` if there is no rule: then the rows are only looked up.
    changes: Option<Columns<Expression>>,
    id_column: String,
    /// The status column, and the status.
    status: Columns<Scalar>,
}

impl RulePlan {
    /// Reads and checks a rule that is being made, without looking at a row: grammar, columns, literals, and whether a
    /// row can have the status.
    ///
    /// # Safety
    /// `changes` is a jsonb.
    pub unsafe fn validate(
        target: Oid,
        changes: Datum,
        id_column: &str,
        status_column: &str,
        status: &str,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let changes = read(unsafe { Jsonb::new(changes) }.members(CHANGES)?, id_column)?;
        let table = Table::open(target)?;
        let mut writer = Writer::new(&table, now());
        writer.update(&changes, &[])?;
        let update = writer.finish();
        update.bind()?;
        // Refuses what may not be set at all: generated columns.
        Plan::prepare_for_each(&update.shape.sql, &update.shape.types)?;
        check_status(&table, status_column, status)
    }

    /// Reads a rule. Its table is read when the rule runs, apart from the two columns.
    pub fn prepare(
        target: Oid,
        changes: Option<&serde_json::Value>,
        id_column: &str,
        status_column: &str,
        status: &str,
    ) -> Result<Self, Error> {
        let members = changes.map(|changes| Members::of(changes, &Path::root(CHANGES)));
        let changes = members.transpose()?.map(|members| read(members, id_column)).transpose()?;
        let table = Table::open(target)?;
        table.column(id_column, &"id_column")?;
        table.column(status_column, &"status_column")?;
        Ok(RulePlan { target, changes, id_column: id_column.to_owned(), status: status_of(status_column, status) })
    }

    /// The columns that the rule sets.
    pub fn changed(&self) -> Vec<&str> {
        self.changes.iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// Updates the rows with these ids that still have the status, or only looks them up. Returns for each id whether
    /// there was such a row. After an error some rows may have been updated, so the caller must undo it.
    ///
    /// If the column's type refuses an id, or the status, no row has it.
    pub fn run(&self, ids: &[&str]) -> Result<Vec<bool>, Error> {
        match moved::may_move(self.target) {
            true => moved::again_if_moved(|| self.run_once(ids)),
            false => self.run_once(ids),
        }
    }

    /// Locks the rows with these ids that still have the status, as [`RulePlan::run`] will, but for rows that another
    /// transaction has locked. Returns for each id whether there is such a row that could not be locked.
    pub fn lock(&self, ids: &[&str]) -> Result<Vec<bool>, Error> {
        self.on_batch(ids, |batch| match &self.changes {
            Some(changes) => batch.find_locked(changes),
            None => Ok(vec![false; ids.len()]),
        })
    }

    fn run_once(&self, ids: &[&str]) -> Result<Vec<bool>, Error> {
        self.on_batch(ids, |batch| match &self.changes {
            Some(changes) => batch.update(changes),
            None => batch.look(),
        })
    }

    fn on_batch(
        &self,
        ids: &[&str],
        body: impl FnOnce(&Batch) -> Result<Vec<bool>, Error>,
    ) -> Result<Vec<bool>, Error> {
        let table = Table::open(self.target)?;
        let column = table.column(&self.id_column, &"id_column")?;
        if !self.is_possible(&table)? {
            return Ok(vec![false; ids.len()]);
        }
        body(&Batch { status: &self.status, table: &table, column: &column, ids: Ids::read(ids, &column)? })
    }

    /// Does the status column's type take the status? A refusal is an error of Postgres, so it needs a subtransaction.
    fn is_possible(&self, table: &Table) -> Result<bool, Error> {
        let mut writer = Writer::new(table, now());
        writer.key(writer.target, &self.status, &Path::root("resource"))?;
        let statement = writer.finish();
        let mut inputs = statement.parameters.iter().map(TypeInput::of);
        if inputs.all(|input| input.takes_all()) {
            return Ok(true);
        }
        match attempt(|| statement.bind().map(Some)) {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

/// The rows that have some ids and the status.
struct Batch<'r> {
    status: &'r Columns<Scalar>,
    table: &'r Table,
    column: &'r Column,
    ids: Ids,
}

impl Batch<'_> {
    fn update(&self, changes: &Columns<Expression>) -> Result<Vec<bool>, Error> {
        let mut writer = Writer::new(self.table, now());
        writer.update(changes, &[])?;
        writer.push(" FROM ");
        self.join(&mut writer)?;
        writer.push(" RETURNING work.number");
        let update = writer.finish();
        let side_effects = SideEffects::of(self.table, changes.iter().map(|(name, _)| name.as_str()));
        let locked = match update.reads_more.is_some() || side_effects.without_row {
            true => self.lock(update.reads_more.is_some(), "")?,
            false => Vec::new(),
        };
        let updated = self.run(&update, |rows| {
            let found = self.ids.found(rows);
            match found.iter().filter(|found| **found).count() < rows.len() {
                true => Err(several_rows()),
                false => Ok(found),
            }
        })??;
        // If a row was not updated and still has the status, a trigger suppressed the update. If it was locked before,
        // it may be gone since, by that trigger or on its way to another partition.
        let missed = Batch { ids: self.ids.without(&updated), ..*self };
        let is_lost = locked.iter().zip(&updated).any(|(locked, updated)| *locked && !updated);
        if is_lost || !missed.ids.is_empty() && missed.look()?.contains(&true) {
            return Err(Error::Suppressed { write: "update of", table: self.table.name.clone() });
        }
        Ok(updated)
    }

    /// Of the rows that have the ids and the status, those that another transaction has locked.
    fn find_locked(&self, changes: &Columns<Expression>) -> Result<Vec<bool>, Error> {
        let mut writer = Writer::new(self.table, now());
        writer.update(changes, &[])?;
        let reads_more = writer.finish().reads_more.is_some();
        let locked = self.lock(reads_more, " SKIP LOCKED")?;
        let missed = Batch { ids: self.ids.without(&locked), ..*self };
        match missed.ids.is_empty() {
            true => Ok(vec![false; locked.len()]),
            false => missed.look(),
        }
    }

    /// Locks the rows, no stronger than the update itself does unless it reads more than them. Returns for each id
    /// whether there was such a row.
    fn lock(&self, reads_more: bool, waiting: &str) -> Result<Vec<bool>, Error> {
        let mut writer = Writer::new(self.table, now());
        writer.push("SELECT work.number FROM ").push_target().push(", ");
        self.join(&mut writer)?;
        match reads_more {
            true => writer.push_lock(),
            false => writer.push(" FOR NO KEY UPDATE OF target"),
        };
        writer.push(waiting);
        self.run(&writer.finish(), |rows| self.ids.found(rows))
    }

    fn look(&self) -> Result<Vec<bool>, Error> {
        let mut writer = Writer::new(self.table, now());
        writer.push("SELECT work.number FROM ").push_target();
        writer.push(", ");
        self.join(&mut writer)?;
        self.run(&writer.finish(), |rows| self.ids.found(rows))
    }

    /// The ids beside their rows: `unnest($1) … AS work WHERE target.id = work.id AND target.status = $2`.
    fn join<'d>(&'d self, writer: &mut Writer<'d, '_>) -> Result<(), Error> {
        let path = Path::root("resource");
        let work = match self.ids.only() {
            // The planner treats this like `WHERE target.id = $1`.
            Some((id, type_oid)) => {
                let id = writer.given(id, type_oid, &path);
                format!("(VALUES ({id}, 1::pg_catalog.int8))")
            }
            None => {
                let (array, array_type) = self.ids.array()?;
                let array = writer.given(array, array_type, &path);
                format!("pg_catalog.unnest({array}) WITH ORDINALITY")
            }
        };
        let type_oid = base_type(self.column.type_oid);
        let equality = Operator::equality(type_oid).ok_or_else(|| no_equality(type_oid, &path))?;
        let same_id = equality.compare(&writer.target.column(self.column), "work.id");
        let (same_status, _) = writer.key(writer.target, self.status, &path)?;
        writer.push(&work).push(" AS work (id, number) WHERE ");
        writer.push(&same_id).push(" AND ").push(&same_status);
        Ok(())
    }

    /// For one id the plan is kept. For many it is worth a plan for their number and the present size of the table.
    fn run<R>(&self, statement: &WrittenStatement, read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
        let args = statement.bind()?;
        let shape = &statement.shape;
        let plan = match self.ids.only() {
            Some(_) => plan::plan(shape)?,
            None => Rc::new(Plan::prepare_for_each(&shape.sql, &shape.types)?),
        };
        plan.run(View::Latest, &args, read)
    }
}

fn several_rows() -> Error {
    Error::Ambiguous { what: "several rows have that id".to_owned(), hint: "The id column must identify one row." }
}

fn read(members: Members, id_column: &str) -> Result<Columns<Expression>, Error> {
    let changes = grammar::changes(members, &mut (0..))?;
    require_columns(CHANGES, &changes)?;
    if changes.iter().any(|(column, _)| column == id_column) {
        return Err(changes_the_id(CHANGES, id_column));
    }
    Ok(changes)
}

/// Refuses a status that no row can have. It is read as if the column were set to it: by the type of the column, with
/// its length and the constraints of a domain.
fn check_status(table: &Table, status_column: &str, status: &str) -> Result<(), Error> {
    table.column(status_column, &"status_column")?;
    let value = Expression::Literal(Literal::new(Value::Text(status.to_owned()), None));
    let row = vec![(status_column.to_owned(), value)];
    let mut writer = Writer::new(table, now());
    writer.update(&row, &[])?;
    let statement = writer.finish();
    if statement.parameters.iter().map(TypeInput::of).all(|input| input.takes_all()) {
        return Ok(());
    }
    let refusal = match attempt(|| statement.bind().map(Some)) {
        Ok(_) => return Ok(()),
        Err(error @ Error::Postgres(_)) => error.to_string(),
        Err(other) => return Err(other),
    };
    let path = format!("{}: ", Path::root(CHANGES).member(status_column));
    Err(Error::Invalid {
        argument: "status",
        problem: format!(
            "is none that column \"{status_column}\" of {} can have: {}",
            table.name,
            refusal.strip_prefix(&path).unwrap_or(&refusal)
        ),
        hint: "Pass a status that the rows of the table have.",
    })
}

fn status_of(status_column: &str, status: &str) -> Columns<Scalar> {
    vec![(status_column.to_owned(), Some(Literal::new(Value::Text(status.to_owned()), None)))]
}

/// The work of a resource is found by the resource's id, so work must not change it.
pub fn changes_the_id(argument: &'static str, id_column: &str) -> Error {
    let hint = "Leave the id column out: the lock, the status and the crash rule of the work belong to that id.";
    Error::invalid(argument, format!("must not set \"{id_column}\", the id of the resource"), hint)
}

fn now() -> TimestampTz {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
