//! `conditional_update`: compare-and-swap on any table, and which condition failed.
//!
//! From the documents to the answer: [`jsonb`] and [`document`] (JSON, places in it) → [`grammar`] (typed trees, no Postgres) →
//! [`render`] with [`condition`], [`filter`], [`value`], [`arithmetic`] and [`raw_sql`] (one statement, from what [`target`], [`view`],
//! [`operators`], [`reading`] and [`unique`] find in the catalog) → [`bind`] with [`literal`] (literals to values) →
//! [`plan`] (prepared and kept) → [`update`] (runs it) → [`outcome`]. [`rule`] goes the same way for crash rules.

mod arithmetic;
mod bind;
mod condition;
mod filter;
mod grammar;
mod jsonb;
mod literal;
mod operators;
mod outcome;
mod plan;
mod raw_sql;
mod reading;
mod render;
mod rule;
mod target;
mod unique;
mod update;
mod value;
mod view;

pub use rule::{RulePlan, validate_values};
pub use target::Table;

use crate::argument::required;
use crate::document::{self, Fault, Path};
use crate::error::Error;
use crate::export::{export, verb};
use grammar::Columns;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{Datum, FunctionCallInfo, GetCurrentTimestamp, Oid};
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
        let needed = |number, name| jsonb::members(required(name, argument(fcinfo, number))?, name);
        let given = |number, name| {
            let document = argument(fcinfo, number);
            document
                .map(|datum| jsonb::members(datum, name))
                .transpose()
        };
        let (key, values, expected) = (
            needed(1, "key")?,
            needed(2, "values")?,
            needed(3, "expected")?,
        );
        let (filter, values_sql) = (given(4, "filter")?, given(7, "values_sql")?);
        let request = Request {
            target,
            key: not_empty("key", grammar::key(key, &Path::root("key"))?)?,
            values: grammar::values(values, &Path::root("values"))?,
            values_sql: match values_sql {
                Some(values) => grammar::values_sql(values, &Path::root("values_sql"))?,
                None => Vec::new(),
            },
            expected: grammar::expectations(expected, &Path::root("expected"))?,
            filter: match filter {
                Some(filter) => Some(grammar::filter(filter, &Path::root("filter"))?),
                None => None,
            },
            filter_sql: pg_getarg::<String>(fcinfo, 6),
            fence: pg_getarg::<i64>(fcinfo, 5),
            now: GetCurrentTimestamp(),
        };
        check_values(&request)?;
        Ok(request)
    }
}

/// Something must be set, and nothing twice.
fn check_values(request: &Request) -> Result<(), Error> {
    let Request {
        values, values_sql, ..
    } = request;
    if values_sql.is_empty() && values.is_empty() {
        return Err(empty("values"));
    }
    let twice = |name: &String| values.iter().any(|(other, _)| other == name);
    match values_sql.iter().find(|(name, _)| twice(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Path::root("values_sql")
            .member(name)
            .fault("is set in values too", "Set each column in one of the two.")
            .into()),
    }
}

/// # Safety
/// `fcinfo` holds the arguments of `volguard.conditional_update`.
unsafe fn argument(fcinfo: FunctionCallInfo, number: usize) -> Option<Datum> {
    // SAFETY: the caller's promise.
    unsafe { pg_getarg_datum(fcinfo, number) }
}

fn not_empty<T>(argument: &'static str, columns: Columns<T>) -> Result<Columns<T>, Error> {
    match columns.is_empty() {
        true => Err(empty(argument)),
        false => Ok(columns),
    }
}

fn empty(argument: &'static str) -> Error {
    Error::invalid(argument, "must not be empty", "Name at least one column.")
}

export! {
    volguard_conditional_update, pg_finfo_volguard_conditional_update => conditional_update_wrapper;
}
