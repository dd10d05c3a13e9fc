//! The types of arithmetic: of a literal operand, and of the result.

use crate::conditional_update::catalog::operators::base_type;
use crate::conditional_update::catalog::table::Column;
use crate::conditional_update::grammar::{Arithmetic, Literal, Value};
use crate::input::document::{Fault, Path};
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;
use std::ptr;

/// The operator's name in SQL.
pub fn symbol(arithmetic: Arithmetic) -> &'static CStr {
    match arithmetic {
        Arithmetic::Add => c"+",
        Arithmetic::Sub => c"-",
        Arithmetic::Mul => c"*",
        Arithmetic::Div => c"/",
    }
}

/// The type of the result; `None` if no operator fits the two types, or several fit equally well.
pub fn result_type(symbol: &CStr, left: Oid, right: Oid) -> Option<Oid> {
    const NO_ERROR: bool = true;
    // SAFETY: names that live as long as the call; with the flag a missing operator is no error. The tuple is
    // released after its field was copied.
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

/// The type of a literal in arithmetic for this column: a number has the smallest type that holds it, as in SQL; a
/// string is an interval, if the column is about time.
pub fn operand_type(literal: &Literal, column: &Column, path: &Path) -> Result<Oid, Fault> {
    match &literal.value {
        Value::Number(digits) if digits.parse::<i32>().is_ok() => Ok(pg_sys::INT4OID),
        Value::Number(digits) if digits.parse::<i64>().is_ok() => Ok(pg_sys::INT8OID),
        Value::Number(_) => Ok(pg_sys::NUMERICOID),
        Value::Text(_) if is_about_time(column.type_oid) => Ok(pg_sys::INTERVALOID),
        Value::Text(_) | Value::Boolean(_) | Value::Json(_) => Err(path.fault(
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
    matches!(category as u8, pg_sys::TYPCATEGORY_DATETIME | pg_sys::TYPCATEGORY_TIMESPAN)
}
