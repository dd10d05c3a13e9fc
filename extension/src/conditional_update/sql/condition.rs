//! Conditions on columns as SQL: the key, and what is expected of the row.
//!
//! A condition that does not hold is false or NULL, and so are its combinations by AND and OR. `IS NOT TRUE` negates
//! both.

use super::row::AliasedRow;
use super::value::Purpose;
use super::writer::Writer;
use crate::conditional_update::catalog::names::type_name;
use crate::conditional_update::catalog::operators::{Operator, base_type};
use crate::conditional_update::catalog::reading::Reading;
use crate::conditional_update::catalog::table::Column;
use crate::conditional_update::grammar::{
    Choice, Columns, Comparison, Condition, Expectation, Expression, Literal, Scalar,
};
use crate::input::document::Path;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};

impl<'d> Writer<'d, '_> {
    /// `(target.a = $1) AND (target.b IS NULL)`, and the columns that are compared with a value.
    pub fn key(
        &mut self,
        row: AliasedRow,
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
    pub fn expectation(&mut self, name: &str, expectation: &'d Expectation, path: &Path) -> Result<String, Error> {
        let row = self.target;
        let column = row.table.column(name, path)?;
        let reading = Reading::of(base_type(column.type_oid));
        match expectation {
            Expectation::Scalar(scalar) if reading.of_scalars() => {
                let json_null = matches!(reading, Reading::Document);
                Ok(self.reads_as(row, &column, scalar.as_ref(), json_null, path))
            }
            Expectation::Scalar(scalar) => self.any_of(row, &column, &[(scalar, *path)]),
            Expectation::Composed { written, .. } if reading.takes(written) => {
                Ok(self.reads_as(row, &column, Some(written), false, path))
            }
            Expectation::Composed { condition, .. } => match condition {
                Ok(condition) => self.condition_on(row, &column, condition, path),
                Err(fault) => Err(fault.clone().into()),
            },
        }
    }

    /// Is the column, as JSON, equal to what is written? If `json_null`, null also means the null of JSON.
    fn reads_as(
        &mut self,
        row: AliasedRow,
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
                "({} OR pg_catalog.to_jsonb({name}) OPERATOR(pg_catalog.=) 'null'::pg_catalog.jsonb)",
                is_null(&name)
            ),
            None => is_null(&name),
        }
    }

    pub fn conditions(
        &mut self,
        row: AliasedRow,
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
        row: AliasedRow,
        column: &Column,
        condition: &'d Condition,
        path: &Path,
    ) -> Result<String, Error> {
        match condition {
            Condition::AnyOf(choice) => self.any_of(row, column, &scalars(choice, path)),
            Condition::NoneOf { choice, null_holds } => {
                let path = path.member("not");
                let mut scalars = scalars(choice, &path);
                let type_oid = base_type(column.type_oid);
                let listed = scalars.len();
                scalars.retain(|(scalar, _)| !means_null(scalar, type_oid));
                let lists_null = scalars.len() < listed;
                let any = self.any_of(row, column, &scalars)?;
                let name = row.column(column);
                Ok(match *null_holds && !lists_null {
                    true => format!("({} OR NOT {any})", is_null(&name)),
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
    fn any_of(&mut self, row: AliasedRow, column: &Column, scalars: &[(&'d Scalar, Path)]) -> Result<String, Error> {
        let (name, type_oid) = (row.column(column), base_type(column.type_oid));
        let equality = Operator::equality(type_oid);
        let mut test = |(scalar, path): &(&'d Scalar, Path)| match scalar {
            Some(literal) if !literal.is_null_to(type_oid) => {
                let parameter = self.bind(literal, type_oid, -1, path);
                let equality = equality.as_ref();
                let equality = equality.ok_or_else(|| no_equality(type_oid, path))?;
                Ok(equality.compare(&name, &parameter))
            }
            _ => Ok(is_null(&name)),
        };
        let tests: Vec<String> = scalars.iter().map(&mut test).collect::<Result<_, Error>>()?;
        Ok(match tests.is_empty() {
            true => "false".to_owned(),
            false => format!("({})", tests.join(" OR ")),
        })
    }

    /// `target.a < target.b + 1`. For `eq` and `ne` NULL is a value like any other.
    fn compare(
        &mut self,
        row: AliasedRow,
        column: &Column,
        comparison: Comparison,
        operand: &'d Expression,
        path: &Path,
    ) -> Result<String, Error> {
        let (name, type_oid) = (row.column(column), base_type(column.type_oid));
        let equal = match operand {
            Expression::Null => is_null(&name),
            operand => {
                let value = self.value(row, operand, Purpose::Comparison(column), path)?;
                let operator = Operator::comparing(comparison, type_oid, value.type_oid)
                    .ok_or_else(|| incomparable(comparison, type_oid, value.type_oid, path))?;
                let test = operator.compare(&name, &value.text);
                match column.nullable && value.nullable && comparison.is_equality() {
                    true => {
                        let (left, right) = (is_null(&name), is_null(&value.text));
                        format!("({test} OR ({left} AND {right}))")
                    }
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
        problem: format!("{} can't be compared with {}", type_name(left), type_name(right)),
        hint: "Compare values of types that have an order in Postgres; use filter_sql for other comparisons.",
    }
}

pub fn no_equality(type_oid: Oid, path: &Path) -> Error {
    Error::NoOperator {
        path: path.to_string(),
        problem: format!("type {} has no equality operator", type_name(type_oid)),
        hint: "Such a column can be set, compared with null, and compared as JSON in expected.",
    }
}

/// IS NULL would also be true for a composite value whose fields are all NULL.
fn is_null(column: &str) -> String {
    format!("{column} IS NOT DISTINCT FROM NULL")
}

fn means_null(scalar: &Scalar, type_oid: Oid) -> bool {
    let literal = scalar.as_ref();
    literal.is_none_or(|literal| literal.is_null_to(type_oid))
}

/// The scalars of a choice, each with its path.
fn scalars<'d, 'p>(choice: &'d Choice, path: &'p Path<'p>) -> Vec<(&'d Scalar, Path<'p>)> {
    let scalars = choice.scalars().iter().enumerate();
    scalars.map(|(at, scalar)| (scalar, choice.path_of(path, at))).collect()
}
