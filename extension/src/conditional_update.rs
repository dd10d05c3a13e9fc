//! `conditional_update`: compare-and-swap on any table, and which condition failed.
//!
//! From the documents to the answer: [`call`] → [`jsonb`] and [`document`] (JSON, places in it) → [`grammar`] (typed trees, no Postgres) →
//! [`render`] with [`condition`], [`filter`], [`value`], [`arithmetic`] and [`raw_sql`] (one statement, from what [`target`], [`view`],
//! [`operators`], [`reading`] and [`unique`] find in the catalog) → [`bind`] with [`literal`] (literals to values) →
//! [`plan`] (prepared and kept) → [`update`] (runs it) → [`outcome`]. [`rule`] goes the same way for crash rules, with many [`ids`] at once.
//!
//! The second call of the same [`signature`] takes the short way: a [`recipe`], kept in [`recipes`], has the statement and
//! tells what of the documents its parameters are.

mod cache;
mod call;
mod catalog;
mod crash_rule;
mod grammar;
mod ids;
mod outcome;
mod sql;
mod update;

pub use call::Call;
pub use catalog::table::Table;
pub use crash_rule::{RulePlan, validate_changes};
pub use outcome::{Outcome, Row, no_names};

use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use grammar::Columns;
use pgrx::pg_sys::{Datum, FunctionCallInfo};

/// Written by hand instead of by `pg_extern`: the documents are taken as they are, so that one that is too deep is our error,
/// and the result's type is the one that the function declares.
///
/// # Safety
/// Called by Postgres' function manager, as `volguard.conditional_update`.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn conditional_update_wrapper(fcinfo: FunctionCallInfo) -> Datum {
    verb(Datum::null(), || {
        // SAFETY: the arguments are those that the function declares, in that order, and live while it runs.
        unsafe { Ok(Call::read(fcinfo)?.run()?.into_tuple(fcinfo)) }
    })
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
