//! `conditional_update`: compare-and-swap on any table, and which condition failed.
//!
//! From the documents to the answer: [`jsonb`] and [`document`] (JSON, places in it) → [`grammar`] (typed trees, no Postgres) →
//! [`render`] with [`condition`] and [`value`] (one statement, from what [`target`], [`equality`] and [`unique`] find in
//! the catalog) → [`bind`] (literals to values) → [`plan`] (prepared and kept) → [`update`] (runs it) → [`outcome`].
//! [`rule`] goes the same way for crash rules.

mod bind;
mod condition;
mod document;
mod equality;
mod grammar;
mod jsonb;
mod outcome;
mod plan;
mod render;
mod rule;
mod target;
mod unique;
mod update;
mod value;

pub use rule::{RulePlan, validate_values};
pub use target::Table;

use crate::argument::required;
use crate::error::Error;
use crate::export::{export, verb};
use document::{Fault, Members, Path};
use grammar::Columns;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, Oid};
use update::Request;

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let Fault {
            path,
            problem,
            hint,
        } = fault;
        Error::Document {
            path,
            problem,
            hint,
        }
    }
}

/// Written by hand instead of by `pg_extern`: the documents are taken as they are, so that one that is too deep is our error,
/// and the result's type is the one that the function declares.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.conditional_update`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn conditional_update_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those that the function declares, in that order.
        unsafe { request(fcinfo)?.run()?.into_tuple(fcinfo) }
    })
}

/// # Safety
/// `fcinfo` holds the arguments of `volguard.conditional_update`.
unsafe fn request(fcinfo: FunctionCallInfo) -> Result<Request, Error> {
    // SAFETY: each argument is read as the type that it is declared with.
    unsafe {
        let target = required("target", pg_getarg::<Oid>(fcinfo, 0))?;
        let read = |number, name: &'static str| members(fcinfo, number, name);
        let (key, values, expected) = (read(1, "key")?, read(2, "values")?, read(3, "expected")?);
        for (number, name) in [(4, "filter"), (6, "filter_sql"), (7, "values_sql")] {
            if pg_getarg_datum(fcinfo, number).is_some() {
                return Err(not_yet(name));
            }
        }
        Ok(Request {
            target,
            key: not_empty("key", grammar::key(key, &Path::root("key"))?)?,
            values: not_empty("values", grammar::values(values, &Path::root("values"))?)?,
            expected: grammar::conditions(expected, &Path::root("expected"))?,
            fence: pg_getarg::<i64>(fcinfo, 5),
        })
    }
}

/// # Safety
/// Argument `number` is a jsonb.
unsafe fn members(
    fcinfo: FunctionCallInfo,
    number: usize,
    name: &'static str,
) -> Result<Members, Error> {
    // SAFETY: the caller's promise.
    unsafe { jsonb::members(required(name, pg_getarg_datum(fcinfo, number))?, name) }
}

fn not_empty<T>(argument: &'static str, columns: Columns<T>) -> Result<Columns<T>, Error> {
    if columns.is_empty() {
        let hint = "Name at least one column.";
        return Err(Error::invalid(argument, "must not be empty", hint));
    }
    Ok(columns)
}

fn not_yet(argument: &'static str) -> Error {
    Error::Unsupported {
        what: format!("{argument} is not supported yet"),
        hint: "Say it with expected and values, whose documents take conditions on single columns and arithmetic.",
    }
}

export! {
    volguard_conditional_update, pg_finfo_volguard_conditional_update => conditional_update_wrapper;
}
