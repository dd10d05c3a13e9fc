//! Arithmetic as SQL: what a number or a string in it means, and what type comes of it.

use super::value::{Purpose, Sql};
use super::writer::{Row, Writer};
use crate::conditional_update::catalog::operators::{base_type, type_name};
use crate::conditional_update::catalog::table::Column;
use crate::conditional_update::grammar::{Arithmetic, Expression, Literal};
use crate::input::document::{Fault, Path};
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;
use std::ptr;

impl<'d> Writer<'d, '_> {
    pub fn calculation(
        &mut self,
        row: Row,
        arithmetic: Arithmetic,
        operands: &'d [Expression; 2],
        column: &Column,
        path: &Path,
    ) -> Result<Sql, Error> {
        let path = path.member(arithmetic.name());
        let purpose = Purpose::Arithmetic(column);
        let left = self.value(row, &operands[0], purpose, &path.item(0))?;
        let right = self.value(row, &operands[1], purpose, &path.item(1))?;
        let operator = symbol(arithmetic);
        let symbol = operator.to_string_lossy();
        let type_oid =
            result_type(operator, left.type_oid, right.type_oid).ok_or_else(|| Error::NoOperator {
                path: path.to_string(),
                problem: format!(
                    "Postgres can't calculate {} {symbol} {}",
                    type_name(left.type_oid),
                    type_name(right.type_oid)
                ),
                hint: "Calculate with numbers, or with times and intervals; say anything else with changes_sql or filter_sql.",
            })?;
        Ok(Sql {
            text: format!(
                "({} OPERATOR(pg_catalog.{symbol}) {})",
                left.text, right.text
            ),
            type_oid,
            // An operator may be NULL whatever it is given.
            nullable: true,
        })
    }
}

fn symbol(arithmetic: Arithmetic) -> &'static CStr {
    match arithmetic {
        Arithmetic::Add => c"+",
        Arithmetic::Sub => c"-",
        Arithmetic::Mul => c"*",
        Arithmetic::Div => c"/",
    }
}

/// The type of what the operator makes of the two; `None` if there is no such operator, or several as good.
fn result_type(symbol: &CStr, left: Oid, right: Oid) -> Option<Oid> {
    const NO_ERROR: bool = true;
    // SAFETY: names that live as long as the call; with the flag no operator is no error. The tuple is released after its
    // field was copied.
    unsafe {
        let names = pg_sys::SystemFuncName(symbol.as_ptr().cast_mut());
        let operator = pg_sys::oper(ptr::null_mut(), names, left, right, NO_ERROR, -1);
        if operator.is_null() {
            return None;
        }
        let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_operator>(operator);
        let result = (*form).oprresult;
        pg_sys::ReleaseSysCache(operator);
        match pg_sys::get_typtype(result) as u8 {
            pg_sys::TYPTYPE_PSEUDO => Some(left),
            _ => Some(result),
        }
    }
}

/// A number in arithmetic is of the smallest type that holds it, as in SQL; a string is an interval, where the column
/// has to do with time.
pub fn operand_type(literal: &Literal, column: &Column, path: &Path) -> Result<Oid, Fault> {
    match literal {
        Literal::Number(digits) if digits.parse::<i32>().is_ok() => Ok(pg_sys::INT4OID),
        Literal::Number(digits) if digits.parse::<i64>().is_ok() => Ok(pg_sys::INT8OID),
        Literal::Number(_) => Ok(pg_sys::NUMERICOID),
        Literal::Text(_) if is_about_time(column.type_oid) => Ok(pg_sys::INTERVALOID),
        Literal::Text(_) | Literal::Boolean(_) | Literal::Json(_) => Err(path.fault(
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
