//! Values as SQL: what the columns are set to.

use super::document::{Fault, Path};
use super::equality::base_type;
use super::grammar::{Arithmetic, Columns, Expression, Literal, Value};
use super::render::Writer;
use super::target::Column;
use crate::error::Error;
use pgrx::pg_sys::{self, Oid};

impl<'d> Writer<'d, '_> {
    /// `UPDATE … SET …`
    pub fn update(&mut self, values: &'d Columns<Value>, path: &Path) -> Result<&mut Self, Error> {
        let table = self.table;
        self.push("UPDATE ").push(&table.name).push(" AS t SET ");
        for (at, (name, value)) in values.iter().enumerate() {
            let path = path.member(name);
            let column = table.column(name, &path)?;
            let value = self.value(value, &column, &path)?;
            self.push(if at > 0 { ", " } else { "" });
            self.push(&column.name).push(" = ").push(&value);
        }
        Ok(self)
    }

    fn value(&mut self, value: &'d Value, column: &Column, path: &Path) -> Result<String, Error> {
        match value {
            Value::Scalar(None) => Ok("NULL".to_owned()),
            // With the column's own length and precision, so that a value that doesn't fit is refused here, by name.
            Value::Scalar(Some(literal)) => {
                Ok(self.bind(literal, column.type_oid, column.typmod, path))
            }
            Value::Computed(expression) => self.expression(expression, column, path),
        }
    }

    /// For `column`, which tells what a string means in it.
    fn expression(
        &mut self,
        expression: &'d Expression,
        column: &Column,
        path: &Path,
    ) -> Result<String, Error> {
        match expression {
            Expression::Column(name) => {
                let source = self.table.column(name, &path.member("column"))?;
                Ok(format!("t.{}", source.name))
            }
            Expression::Literal(literal) => {
                let type_oid = operand_type(literal, column, path)?;
                Ok(self.bind(literal, type_oid, -1, path))
            }
            Expression::Arithmetic(arithmetic, operands) => {
                let path = path.member(arithmetic.name());
                let left = self.expression(&operands[0], column, &path.item(0))?;
                let right = self.expression(&operands[1], column, &path.item(1))?;
                Ok(format!("({left} {} {right})", operator(*arithmetic)))
            }
        }
    }
}

fn operator(arithmetic: Arithmetic) -> &'static str {
    match arithmetic {
        Arithmetic::Add => "OPERATOR(pg_catalog.+)",
        Arithmetic::Sub => "OPERATOR(pg_catalog.-)",
        Arithmetic::Mul => "OPERATOR(pg_catalog.*)",
        Arithmetic::Div => "OPERATOR(pg_catalog./)",
    }
}

/// A number in arithmetic is of the smallest type that holds it, as in SQL; a string is an interval, where the column
/// has to do with time.
fn operand_type(literal: &Literal, column: &Column, path: &Path) -> Result<Oid, Fault> {
    match literal {
        Literal::Number(digits) if digits.parse::<i32>().is_ok() => Ok(pg_sys::INT4OID),
        Literal::Number(digits) if digits.parse::<i64>().is_ok() => Ok(pg_sys::INT8OID),
        Literal::Number(_) => Ok(pg_sys::NUMERICOID),
        Literal::Text(_) if is_about_time(column.type_oid) => Ok(pg_sys::INTERVALOID),
        Literal::Text(_) | Literal::Boolean(_) => Err(path.fault(
            format!("column {} takes no string in arithmetic", column.name),
            "Write numbers without quotes; a string is an interval, for columns of a date or time type.",
        )),
    }
}

fn is_about_time(type_oid: Oid) -> bool {
    let (mut category, mut preferred) = (0, false);
    let type_oid = base_type(type_oid);
    // SAFETY: a catalog look-up of a running transaction, into two variables of ours.
    unsafe { pg_sys::get_type_category_preferred(type_oid, &mut category, &mut preferred) };
    matches!(
        category as u8,
        pg_sys::TYPCATEGORY_DATETIME | pg_sys::TYPCATEGORY_TIMESPAN
    )
}
