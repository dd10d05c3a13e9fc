//! Conditions on columns as SQL: the key, and what is expected of the row.
//!
//! Each may be NULL where it doesn't hold. So can what is made of them by AND and OR, and `IS NOT TRUE` turns both into
//! an answer: a condition holds or it doesn't.

use super::value::{Purpose, Sql};
use super::writer::{Row, Writer};
use crate::conditional_update::catalog::operators::{Operator, base_type, type_name};
use crate::conditional_update::catalog::reading::Reading;
use crate::conditional_update::catalog::table::Column;
use crate::conditional_update::grammar::{
    Choice, Columns, Comparison, Condition, Expectation, Expression, Literal, Scalar,
};
use crate::input::document::Path;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};

impl<'d> Writer<'d, '_> {
    /// `(target.a = $1) AND (target.b IS NULL)`. Returns it with the columns that must not be NULL.
    pub fn key(
        &mut self,
        row: Row,
        key: &'d Columns<Scalar>,
        path: &Path,
    ) -> Result<(String, Vec<Column>), Error> {
        let mut tests = Vec::with_capacity(key.len());
        let mut given = Vec::with_capacity(key.len());
        for (name, scalar) in key {
            let path = path.member(name);
            let column = row.table.column(name, &path)?;
            tests.push(self.any_of(row, &column, &[(scalar, path)])?);
            if scalar.is_some() {
                given.push(column);
            }
        }
        Ok((tests.join(" AND "), given))
    }

    /// What `expected` says of one column of the target.
    pub fn expectation(
        &mut self,
        name: &str,
        expectation: &'d Expectation,
        path: &Path,
    ) -> Result<String, Error> {
        let row = self.target;
        let column = row.table.column(name, path)?;
        let reading = Reading::of(base_type(column.type_oid));
        match expectation {
            Expectation::Scalar(Condition::AnyOf(Choice::One(scalar))) if reading.of_scalars() => {
                let null = matches!(reading, Reading::Document);
                Ok(self.reads_as(row, &column, scalar.as_ref(), null, path))
            }
            Expectation::Scalar(condition) => self.condition_on(row, &column, condition, path),
            Expectation::Composed { written, .. } if reading.takes(written) => {
                Ok(self.reads_as(row, &column, Some(written), false, path))
            }
            Expectation::Composed { condition, .. } => match condition {
                Ok(condition) => self.condition_on(row, &column, condition, path),
                Err(fault) => Err(fault.clone().into()),
            },
        }
    }

    /// Does the column, as JSON, read as written? `json_null` takes the null of JSON for NULL: they read the same.
    fn reads_as(
        &mut self,
        row: Row,
        column: &Column,
        written: Option<&'d Literal>,
        json_null: bool,
        path: &Path,
    ) -> String {
        let name = row.column(column);
        match written {
            Some(literal) => {
                let parameter = self.bind(literal, pg_sys::JSONBOID, -1, path);
                format!("pg_catalog.to_jsonb({name}) OPERATOR(pg_catalog.=) {parameter}")
            }
            None if json_null => format!(
                "({name} IS NOT DISTINCT FROM NULL OR pg_catalog.to_jsonb({name}) OPERATOR(pg_catalog.=) 'null'::pg_catalog.jsonb)"
            ),
            None => format!("{name} IS NOT DISTINCT FROM NULL"),
        }
    }

    pub fn conditions(
        &mut self,
        row: Row,
        conditions: &'d Columns<Condition>,
        path: &Path,
    ) -> Result<String, Error> {
        let mut tests = Vec::with_capacity(conditions.len());
        for (name, condition) in conditions {
            let path = path.member(name);
            let column = row.table.column(name, &path)?;
            tests.push(self.condition_on(row, &column, condition, &path)?);
        }
        Ok(match tests.is_empty() {
            true => "true".to_owned(),
            false => format!("({})", tests.join(" AND ")),
        })
    }

    fn condition_on(
        &mut self,
        row: Row,
        column: &Column,
        condition: &'d Condition,
        path: &Path,
    ) -> Result<String, Error> {
        match condition {
            Condition::AnyOf(choice) => self.any_of(row, column, &placed(choice, path)),
            Condition::NoneOf { choice, null_holds } => {
                let path = path.member("not");
                let mut scalars = placed(choice, &path);
                let type_oid = base_type(column.type_oid);
                let is_null = |scalar: &Scalar| match scalar {
                    None => true,
                    Some(literal) => literal.is_null_to(type_oid),
                };
                let null_holds = *null_holds && !scalars.iter().any(|(scalar, _)| is_null(scalar));
                scalars.retain(|(scalar, _)| !is_null(scalar));
                let any = self.any_of(row, column, &scalars)?;
                let name = row.column(column);
                Ok(match null_holds {
                    true => format!("({name} IS NOT DISTINCT FROM NULL OR NOT {any})"),
                    false => format!("({name} IS DISTINCT FROM NULL AND NOT {any})"),
                })
            }
            Condition::Compared(comparisons) => {
                let mut tests = Vec::with_capacity(comparisons.len());
                for (comparison, operand) in comparisons {
                    let path = path.member(comparison.name());
                    tests.push(self.compare(row, column, *comparison, operand, &path)?);
                }
                Ok(format!("({})", tests.join(" AND ")))
            }
        }
    }

    /// `(target.a = $1 OR target.a IS NULL)`
    fn any_of(
        &mut self,
        row: Row,
        column: &Column,
        scalars: &[(&'d Scalar, Path)],
    ) -> Result<String, Error> {
        let mut equals = Equals {
            column,
            name: row.column(column),
            equality: None,
        };
        let tests: Vec<String> = scalars
            .iter()
            .map(|(scalar, path)| equals.test(self, scalar, path))
            .collect::<Result<_, _>>()?;
        Ok(match tests.is_empty() {
            true => "false".to_owned(),
            false => format!("({})", tests.join(" OR ")),
        })
    }

    /// `target.a < target.b + 1`; to `eq` and `ne` NULL is a value like any other.
    fn compare(
        &mut self,
        row: Row,
        column: &Column,
        comparison: Comparison,
        operand: &'d Expression,
        path: &Path,
    ) -> Result<String, Error> {
        let (name, type_oid) = (row.column(column), base_type(column.type_oid));
        let equal = match operand {
            Expression::Null => format!("{name} IS NOT DISTINCT FROM NULL"),
            operand => {
                let Sql {
                    text,
                    type_oid: right,
                    nullable,
                } = self.value(row, operand, Purpose::Comparison(column), path)?;
                let operator = Operator::comparing(comparison, type_oid, right)
                    .ok_or_else(|| incomparable(comparison, type_oid, right, path))?;
                let test = operator.compare(&name, &text);
                match column.nullable && nullable && comparison.is_equality() {
                    true => format!(
                        "({test} OR ({name} IS NOT DISTINCT FROM NULL AND {text} IS NOT DISTINCT FROM NULL))"
                    ),
                    false => test,
                }
            }
        };
        Ok(match comparison {
            Comparison::Ne => format!("({equal}) IS NOT TRUE"),
            _ => equal,
        })
    }
}

fn incomparable(comparison: Comparison, left: Oid, right: Oid, path: &Path) -> Error {
    if left == right && comparison.is_equality() {
        return no_equality(left, path);
    }
    Error::NoOperator {
        path: path.to_string(),
        problem: format!(
            "{} can't be compared with {}",
            type_name(left),
            type_name(right)
        ),
        hint: "Compare values of types that Postgres has an order for; say other comparisons with filter_sql.",
    }
}

pub fn no_equality(type_oid: Oid, path: &Path) -> Error {
    Error::NoOperator {
        path: path.to_string(),
        problem: format!("type {} has no equality operator", type_name(type_oid)),
        hint: "Such a column can be set, compared with null, and expected to be what it reads as.",
    }
}

/// Tests of one column for equality.
struct Equals<'a> {
    column: &'a Column,
    /// With its alias.
    name: String,
    /// Looked up for the first literal: a column of any type can be NULL.
    equality: Option<Operator>,
}

impl Equals<'_> {
    fn test<'d>(
        &mut self,
        writer: &mut Writer<'d, '_>,
        scalar: &'d Scalar,
        path: &Path,
    ) -> Result<String, Error> {
        let Some(literal) = scalar else {
            // IS NULL would take a composite value for NULL whose fields are.
            return Ok(format!("{} IS NOT DISTINCT FROM NULL", self.name));
        };
        let type_oid = base_type(self.column.type_oid);
        if literal.is_null_to(type_oid) {
            return Ok(format!("{} IS NOT DISTINCT FROM NULL", self.name));
        }
        let parameter = writer.bind(literal, type_oid, -1, path);
        let equality = match &self.equality {
            Some(equality) => equality,
            None => {
                let found = Operator::equality(type_oid);
                self.equality
                    .insert(found.ok_or_else(|| no_equality(type_oid, path))?)
            }
        };
        Ok(equality.compare(&self.name, &parameter))
    }
}

/// The scalars of a choice, each with its place.
fn placed<'d, 'p>(choice: &'d Choice, path: &'p Path<'p>) -> Vec<(&'d Scalar, Path<'p>)> {
    let scalars = choice.scalars().iter().enumerate();
    scalars
        .map(|(at, scalar)| (scalar, choice.place(path, at)))
        .collect()
}
