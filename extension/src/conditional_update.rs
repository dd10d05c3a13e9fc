//! `conditional_update`: compare-and-swap on any table. If it does nothing, it says which conditions failed.
//!
//! A [`call`] with new documents: [`grammar`] reads them into trees (no Postgres in it), [`sql`] writes one statement
//! from the trees and from what [`catalog`] says about the table, and [`update`] runs it. [`outcome`] is the answer.
//! The statement is kept in [`cache`], under all that is in the documents but the values of scalars; the next call of
//! that form runs it at once.
//!
//! [`present`] reads the row again where AFTER triggers may have changed it. [`moved`] runs an update again whose row
//! was moved to another partition.
//!
//! [`crash_rule`] writes updates of many rows for a cleanup, with the same parts; [`ids`] reads the ids of these rows.
//!
//! A file uses its own folder and those before it in this order: grammar, catalog, sql, cache, the files beside them.

mod cache;
mod call;
mod catalog;
mod crash_rule;
mod grammar;
mod ids;
mod moved;
mod outcome;
mod present;
mod sql;
mod update;

pub use call::{Call, Documents};
pub use catalog::names::{relation_name, type_name};
pub use catalog::table::{Column, Table};
pub use crash_rule::{RulePlan, changes_the_id};
pub use outcome::{Outcome, UpdatedRow, no_names};

use crate::pg::export::{export, verb};
use pgrx::pg_sys::{Datum, FunctionCallInfo};

/// Not by `pg_extern`, so that a document that is nested too deep is our error, and the result has the declared type.
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

export! {
    volguard_conditional_update, pg_finfo_volguard_conditional_update => conditional_update_wrapper;
}
