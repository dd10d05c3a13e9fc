//! The SQL that runs on volguard's own tables.
//!
//! Each statement is prepared once a backend and runs as the tables' owner, whatever the caller's `search_path` is. That
//! path is dangerous twice: Postgres analyses a kept plan anew whenever the path has changed, and a bare operator is looked
//! up along it. So every name carries its schema, and operators are written `{=}`, which stands for
//! `OPERATOR(pg_catalog.=)`; `{:=}` is an assignment. The compiler refuses a statement with a bare operator, or with
//! `USING (columns)`, which hides one.
//!
//! `OPERATOR(…)` binds from left to right whatever the operator: use parentheses where it matters.

mod claim;
mod cleanup;
mod cluster;
mod event;
mod lock;
mod service;

pub use claim::*;
pub use cleanup::*;
pub use cluster::*;
pub use event::*;
pub use lock::*;
pub use service::*;

use crate::pg::error::Error;
use crate::pg::owner::AsRole;
use crate::pg::spi::{Arg, Plan, Rows, View};
use pgrx::pg_sys::{self, Oid};
use std::ptr;
use std::sync::OnceLock;

/// One statement of ours.
#[derive(Debug)]
pub struct Statement {
    sql: &'static str,
    types: &'static [Oid],
    plan: OnceLock<Plan>,
}

impl Statement {
    const fn new(types: &'static [Oid], sql: &'static str) -> Self {
        refuse_bare_operators(sql.as_bytes());
        Statement {
            sql,
            types,
            plan: OnceLock::new(),
        }
    }

    /// Runs it as the owner of the tables, on what is committed by now.
    pub fn run<R>(&self, args: &[Arg], read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
        let _owner = AsRole::owner()?;
        let _planning = Planning::for_growing_tables();
        let plan = match self.plan.get() {
            Some(plan) => plan,
            None => {
                let plan = Plan::prepare(&qualified(self.sql), self.types)?;
                self.plan.get_or_init(|| plan)
            }
        };
        plan.run(View::Latest, args, read)
    }

    /// Runs it for how many rows it returned or touched.
    pub fn count(&self, args: &[Arg]) -> Result<usize, Error> {
        self.run(args, Rows::len)
    }
}

/// Plans are made for tables that will grow, while this lives.
///
/// A plan is kept, and made when a statement first runs in a backend. If the table happens to be empty by then, reading all
/// of it looks cheapest, and goes on to be done when it has a million rows.
struct Planning {
    seqscan: bool,
    jit: bool,
}

impl Planning {
    fn for_growing_tables() -> Self {
        // SAFETY: plain variables of the backend, read when a plan is made. Drop puts them back, also when a panic unwinds,
        // so that the settings and the variables agree again.
        unsafe {
            Planning {
                seqscan: ptr::replace(&raw mut pg_sys::enable_seqscan, false),
                // Where reading all is the only way it counts as so dear that the plan would be compiled.
                jit: ptr::replace(&raw mut pg_sys::jit_enabled, false),
            }
        }
    }
}

impl Drop for Planning {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            pg_sys::enable_seqscan = self.seqscan;
            pg_sys::jit_enabled = self.jit;
        }
    }
}

/// Puts the operators in.
fn qualified(sql: &str) -> String {
    sql.replace("{:=}", "=")
        .replace('{', "OPERATOR(pg_catalog.")
        .replace('}', ")")
}

/// Stops the compilation at an operator outside of braces. `=>` names an argument and `::` casts.
const fn refuse_bare_operators(sql: &[u8]) {
    let mut at = 0;
    let mut braced = false;
    while at < sql.len() {
        match sql[at] {
            b'{' => braced = true,
            b'}' => braced = false,
            b'=' if at + 1 < sql.len() && sql[at + 1] == b'>' => at += 1,
            b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'|' | b'&' | b'!' | b'~' | b'@'
            | b'#' | b'%' | b'^' | b'?' => {
                assert!(braced, "an operator outside of braces");
            }
            b'G' if at + 2 < sql.len() && sql[at + 1] == b' ' && sql[at + 2] == b'(' => {
                assert!(
                    at < 4 || sql[at - 4] != b'U' || sql[at - 3] != b'S',
                    "USING (columns) hides an operator"
                );
            }
            _ => {}
        }
        at += 1;
    }
}

/// The rows that a removal returns, for the wake-ups and the record of events.
macro_rules! removed {
    () => {
        "RETURNING w.cluster, w.resource_type, w.resource_id, w.lock_name, w.status IS NOT NULL, w.token, w.service_id, w.status"
    };
}

/// Whose tokens the caller, `$2`, may use.
macro_rules! permitted {
    () => {
        "(s.registered_by {=} $2 OR pg_catalog.pg_has_role($2, s.registered_by, 'USAGE'))"
    };
}

use {permitted, removed};
