//! The SQL that runs on volguard's own tables.
//!
//! Each statement is prepared once a backend and runs as the tables' owner, whatever the caller's `search_path` is.
//! When that path has changed, Postgres analyses a kept plan anew under the new one, in which a bare operator may be
//! another one. So every name carries its schema, and an operator is written `{=}`, which stands for
//! `OPERATOR(pg_catalog.=)`; `{:=}` is an assignment. The compiler refuses a statement with a bare operator, or with
//! a word that hides one, such as `IN (…)` or `IS DISTINCT FROM`.
//!
//! `OPERATOR(…)` binds from left to right whatever the operator: use parentheses where it matters.

mod catalog;
mod claim;
mod cleanup;
mod cluster;
mod event;
mod lock;
mod monitor;
mod number;
mod queue;
mod rule;
mod service;
mod trust;

pub use catalog::*;
pub use claim::*;
pub use cleanup::*;
pub use cluster::*;
pub use event::*;
pub use lock::*;
pub use monitor::*;
pub use number::*;
pub use queue::*;
pub use rule::*;
pub use service::*;
pub use trust::*;

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
/// a million rows. A bitmap is made of all that an index finds before the first row is looked at, and leaves dead
/// entries for the next scan. A sequential scan that can't be avoided gets a cost at which the plan would be compiled.
fn for_growing_tables() -> Overrides {
    Overrides::begin().set(c"enable_seqscan", c"off").set(c"enable_bitmapscan", c"off").set(c"jit", c"off")
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
            _ => {}
        }
        let mut word = 0;
        while word < HIDE_OPERATORS.len() {
            assert!(!begins_with(sql, at, HIDE_OPERATORS[word]), "a word that hides an operator");
            word += 1;
        }
        assert!(!begins_with(sql, at, b"CASE ") || begins_with(sql, at, b"CASE WHEN "), "CASE value WHEN hides one");
        at += 1;
    }
}

/// Postgres looks the operator of these up by the `search_path`.
const HIDE_OPERATORS: [&[u8]; 9] =
    [b"USING (", b"NATURAL ", b"DISTINCT FROM ", b" IN (", b"BETWEEN ", b"LIKE ", b"SIMILAR ", b"NULLIF", b"OVERLAPS "];

const fn begins_with(sql: &[u8], at: usize, word: &[u8]) -> bool {
    let mut of_word = 0;
    while of_word < word.len() {
        if at + of_word >= sql.len() || !sql[at + of_word].eq_ignore_ascii_case(&word[of_word]) {
            return false;
        }
        of_word += 1;
    }
    true
}

/// What a removal returns of each row, for wake-ups and events.
macro_rules! removed {
    () => {
        "RETURNING w.cluster, w.resource_type, w.resource_id, w.lock_name, w.status IS NOT NULL, w.token, w.service_id,
             w.status"
    };
}

/// What a repair has to know of a row with work: also whether it has waited for a repair, whether a rule has failed on
/// it before, and whether it is due.
macro_rules! work_item {
    () => {
        "w.token, w.resource_type, w.resource_id, w.status, w.service_id,
         w.awaiting_reason IS NOT NULL, coalesce(NOT pg_catalog.starts_with(w.awaiting_reason, 'not tried: '), false),
         w.retry_at IS NULL OR w.retry_at {<=} pg_catalog.clock_timestamp(), w.work_id IS NOT NULL"
    };
}

/// Whether the role `$2` may use the tokens of a service `s`. No role has the right of one that is gone.
macro_rules! permitted {
    () => {
        "EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                 WHERE r.rolname {=} s.registered_by AND pg_catalog.pg_has_role($2, r.oid, 'USAGE'))"
    };
}

/// Whether a service, by its alias, has a lease and a heartbeat that volguard may have written. Only then is their sum
/// in range. A superuser can write anything, once the constraint is gone.
macro_rules! sane {
    ($service:literal) => {
        concat!(
            "(",
            $service,
            ".heartbeat_at {>} '1 Jan 1000 UTC'::pg_catalog.timestamptz AND ",
            $service,
            ".heartbeat_at {<} '1 Jan 9999 UTC'::pg_catalog.timestamptz AND ",
            $crate::store::sql::sane_lease!($service),
            ")"
        )
    };
}

/// The same of the lease alone.
macro_rules! sane_lease {
    ($service:literal) => {
        concat!(
            $service,
            ".lease {>=} '00:00:00.1'::pg_catalog.interval AND ",
            $service,
            ".lease {<=} '8784:00:00'::pg_catalog.interval AND pg_catalog.date_part('day', ",
            $service,
            ".lease) {=} 0 AND pg_catalog.date_part('month', ",
            $service,
            ".lease) {=} 0 AND pg_catalog.date_part('year', ",
            $service,
            ".lease) {=} 0"
        )
    };
}

/// Whether the lease of a service, by its alias, is over. `$now` where the statement has read the clock already. A
/// heartbeat that lies further ahead than a lease is of a clock that was set back since, and would keep a dead service
/// alive until the clock has caught up. A service that makes no sense is neither alive nor dead.
macro_rules! lease_over {
    ($service:literal) => {
        lease_over!($service, "pg_catalog.clock_timestamp()")
    };
    ($service:literal, $now:literal) => {
        concat!(
            "CASE WHEN ",
            $crate::store::sql::sane!($service),
            " THEN ",
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
            " ELSE false END"
        )
    };
}

use {lease_over, permitted, removed, sane, sane_lease, work_item};
