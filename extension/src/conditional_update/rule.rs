//! Updates by id and status, for crash rules: what becomes of a row whose operation died in that status.
//!
//! Everything runs as the current role; whoever runs a rule has switched to the role that answers for it.

use super::document::{Members, Path};
use super::grammar::{self, Columns, Expression, Literal, Scalar};
use super::jsonb::Jsonb;
use super::plan;
use super::render::Writer;
use super::target::Table;
use crate::catch::attempt;
use crate::error::Error;
use crate::spi::Rows;
use pgrx::pg_sys::{self, Datum, Oid, TimestampTz};

/// The argument that a rule's values come in.
const VALUES: &str = "values";

/// A rule, checked against its table.
#[derive(Debug)]
pub struct RulePlan {
    target: Oid,
    /// Without values, it is only looked whether there is such a row.
    values: Option<Columns<Expression>>,
    id_column: String,
    status_column: String,
}

/// Checks a `jsonb` of values as far as that can be done without a row: grammar, columns, literals.
///
/// # Safety
/// `values` is a jsonb.
pub unsafe fn validate_values(target: Oid, values: Datum) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let values = read(unsafe { Jsonb::new(values) }.members(VALUES)?)?;
    check(&Table::open(target)?, &values)
}

impl RulePlan {
    /// Checks a rule and makes it ready to run.
    pub fn prepare(
        target: Oid,
        values: Option<&serde_json::Value>,
        id_column: &str,
        status_column: &str,
    ) -> Result<Self, Error> {
        let members = values.map(|values| Members::of(values, &Path::root(VALUES)));
        let values = members.transpose()?.map(read).transpose()?;
        let table = Table::open(target)?;
        table.column(id_column, &Path::root("id_column"))?;
        table.column(status_column, &Path::root("status_column"))?;
        if let Some(values) = &values {
            check(&table, values)?;
        }
        Ok(RulePlan {
            target,
            values,
            id_column: id_column.to_owned(),
            status_column: status_column.to_owned(),
        })
    }

    /// Updates the row with that id that still has that status, or just looks for it. Returns how many there were.
    ///
    /// A text that the column's type refuses is the id, or the status, of no row.
    pub fn run(&self, id: &str, status: &str) -> Result<u64, Error> {
        let table = Table::open(self.target)?;
        let row = self.row(id, status);
        if !is_possible(&table, &row)? {
            return Ok(0);
        }
        let mut writer = Writer::new(&table, now());
        match &self.values {
            Some(values) => writer.update(values, &Vec::new(), &Path::root(VALUES))?,
            None => writer
                .push("SELECT FROM ")
                .push(&table.name)
                .push(" AS target"),
        };
        let target = writer.target;
        let (key, _) = writer.key(target, &row, &Path::root("resource"))?;
        writer.push(" WHERE ").push(&key);
        let rows = plan::run(&writer.finish(), Rows::len)?;
        Ok(rows as u64)
    }

    fn row(&self, id: &str, status: &str) -> Columns<Scalar> {
        let text = |text: &str| Some(Literal::Text(text.to_owned()));
        vec![
            (self.id_column.clone(), text(id)),
            (self.status_column.clone(), text(status)),
        ]
    }
}

fn read(values: Members) -> Result<Columns<Expression>, Error> {
    super::not_empty(VALUES, grammar::values(values, &Path::root(VALUES))?)
}

fn check(table: &Table, values: &Columns<Expression>) -> Result<(), Error> {
    let mut writer = Writer::new(table, now());
    writer.update(values, &Vec::new(), &Path::root(VALUES))?;
    writer.finish().bind()?;
    Ok(())
}

fn now() -> TimestampTz {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// Do the columns' types take these texts at all? Asked in a subtransaction, since a refusal is an error of Postgres.
fn is_possible(table: &Table, row: &Columns<Scalar>) -> Result<bool, Error> {
    const DATA_EXCEPTION: &[u8] = b"22";
    let mut writer = Writer::new(table, now());
    let target = writer.target;
    writer.key(target, row, &Path::root("resource"))?;
    match attempt(|| writer.finish().bind().map(Some)) {
        Ok(_) => Ok(true),
        Err(Error::Postgres(error)) if error.sqlstate().starts_with(DATA_EXCEPTION) => Ok(false),
        Err(other) => Err(other),
    }
}
