//! The SQL that runs on volguard's own tables.
//!
//! Each statement is prepared once a backend and runs as the tables' owner, whatever the caller's `search_path` is.
//! When that path has changed, Postgres analyses a kept plan anew under the new one, in which a bare operator may be
//! another one. So every name carries its schema, and an operator is written `{=}`, which stands for
//! `OPERATOR(pg_catalog.=)`; `{:=}` is an assignment. The compiler refuses a statement with a bare operator, or with
//! `USING (columns)`, which hides one.
//!
//! `OPERATOR(…)` binds from left to right whatever the operator: use parentheses where it matters.

mod claim;
mod cleanup;
mod cluster;
mod event;
mod lock;
mod number;
mod service;

pub use claim::*;
pub use cleanup::*;
pub use cluster::*;
pub use event::*;
pub use lock::*;
pub use number::*;
pub use service::*;

use crate::pg::error::Error;
use crate::pg::overrides::Overrides;
use crate::pg::owner::AsRole;
use crate::pg::spi::{Arg, Plan, Rows, View};
use pgrx::pg_sys::Oid;
use std::sync::OnceLock;

/// One statement, with its plan once it has run.
#[derive(Debug)]
pub struct Statement {
    sql: &'static str,
    types: &'static [Oid],
    plan: OnceLock<Plan>,
}

impl Statement {
    const fn new(types: &'static [Oid], sql: &'static str) -> Self {
        refuse_bare_operators(sql.as_bytes());
        Statement { sql, types, plan: OnceLock::new() }
    }

    /// Runs the statement as the owner of the tables, on what is committed by now.
    pub fn run<R>(&self, args: &[Arg], read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
        let _owner = AsRole::owner()?;
        let _planning = for_growing_tables();
        let plan = match self.plan.get() {
            Some(plan) => plan,
            None => {
                let plan = Plan::prepare(&qualified(self.sql), self.types)?;
                self.plan.get_or_init(|| plan)
            }
        };
        plan.run(View::Latest, args, read)
    }

    /// Runs the statement and returns the number of rows that it returned or changed.
    pub fn count(&self, args: &[Arg]) -> Result<usize, Error> {
        self.run(args, Rows::len)
    }
}

/// While the result lives, plans are made for tables that will grow.
///
/// A plan is made when a statement first runs in a backend, or when Postgres finds that the kept one is out of date.
/// For a table that is empty at that moment a sequential scan is cheapest, and would still be used when the table has
/// a million rows. One that can't be avoided gets a cost at which the plan would be compiled.
fn for_growing_tables() -> Overrides {
    Overrides::begin().set(c"enable_seqscan", c"off").set(c"jit", c"off")
}

/// Writes the operators out.
fn qualified(sql: &str) -> String {
    sql.replace("{:=}", "=").replace('{', "OPERATOR(pg_catalog.").replace('}', ")")
}

/// Fails the compilation at an operator outside of braces. `=>` names an argument, `::` is a cast.
const fn refuse_bare_operators(sql: &[u8]) {
    let mut at = 0;
    let mut braced = false;
    while at < sql.len() {
        match sql[at] {
            b'{' => braced = true,
            b'}' => braced = false,
            b'=' if at + 1 < sql.len() && sql[at + 1] == b'>' => at += 1,
            b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'|' | b'&' | b'!' | b'~' | b'@' | b'#' | b'%' | b'^'
            | b'?' => {
                assert!(braced, "an operator outside of braces");
            }
            b'G' if at + 2 < sql.len() && sql[at + 1] == b' ' && sql[at + 2] == b'(' => {
                assert!(at < 4 || sql[at - 4] != b'U' || sql[at - 3] != b'S', "USING (columns) hides an operator");
            }
            _ => {}
        }
        at += 1;
    }
}

/// What a removal returns of each row, for wake-ups and events.
macro_rules! removed {
    () => {
        "RETURNING w.cluster, w.resource_type, w.resource_id, w.lock_name, w.status IS NOT NULL, w.token, w.service_id,
             w.status"
    };
}

/// Whether the role `$2` may use the tokens of a service `s`.
macro_rules! permitted {
    () => {
        "(s.registered_by {=} $2 OR pg_catalog.pg_has_role($2, s.registered_by, 'USAGE'))"
    };
}

/// Whether the lease of a service, by its alias, is over. `$now` where the statement has read the clock already. A
/// heartbeat that lies further ahead than a lease is of a clock that was set back since, and would keep a dead service
/// alive until the clock has caught up.
macro_rules! lease_over {
    ($service:literal) => {
        lease_over!($service, "pg_catalog.clock_timestamp()")
    };
    ($service:literal, $now:literal) => {
        concat!(
            "(",
            $service,
            ".heartbeat_at {+} ",
            $service,
            ".lease {<=} ",
            $now,
            " OR ",
            $service,
            ".heartbeat_at {-} ",
            $service,
            ".lease {>} ",
            $now,
            ")"
        )
    };
}

use {lease_over, permitted, removed};
