//! The SQL that runs on volguard's own tables.
//!
//! Each statement is prepared once a backend, under a fixed `search_path`, and runs as the tables' owner. All names are
//! qualified all the same, so that a reader sees what is meant.

use crate::error::Error;
use crate::owner::AsRole;
use crate::spi::{Arg, Plan, Rows, View};
use pgrx::pg_sys::{
    BOOLOID, INT4OID, INT8ARRAYOID, INT8OID, INTERVALOID, JSONBOID, NAMEOID, OIDOID, Oid, TEXTOID,
    TIMESTAMPTZOID, UUIDOID,
};
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
        Statement {
            sql,
            types,
            plan: OnceLock::new(),
        }
    }

    /// Runs it as the owner of the tables, on what is committed by now.
    pub fn run<R>(&self, args: &[Arg], read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
        let _owner = AsRole::owner()?;
        let plan = match self.plan.get() {
            Some(plan) => plan,
            None => {
                let plan = Plan::prepare(self.sql, self.types)?;
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

// A service is alive: `s.fenced_at IS NULL AND s.heartbeat_at + s.lease > clock_timestamp()`.

pub static SERVICE_IDENTITY: Statement = Statement::new(
    &[INT8OID],
    "SELECT s.cluster, s.registered_by::pg_catalog.oid
     FROM volguard.services AS s WHERE s.service_id = $1",
);

pub static UNFENCED: Statement = Statement::new(
    &[INT8OID],
    "SELECT FROM volguard.services AS s WHERE s.service_id = $1 AND s.fenced_at IS NULL",
);

pub static ADD_CLUSTER: Statement = Statement::new(
    &[TEXTOID],
    "INSERT INTO volguard.clusters (name) SELECT $1
     WHERE NOT EXISTS (SELECT FROM volguard.clusters WHERE name = $1)
     ON CONFLICT DO NOTHING",
);

pub static INCARNATION: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID],
    "SELECT s.service_id, s.registered_by::pg_catalog.oid FROM volguard.services AS s
     WHERE s.cluster = $1 AND s.host = $2 AND s.binary_name = $3 AND s.fenced_at IS NULL",
);

pub static ADD_SERVICE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID, INTERVALOID, OIDOID, JSONBOID],
    "INSERT INTO volguard.services (cluster, host, binary_name, lease, registered_by, details)
     VALUES ($1, $2, $3, $4, $5::pg_catalog.regrole, $6) RETURNING service_id",
);

pub static HEARTBEAT: Statement = Statement::new(
    &[INT8OID],
    "UPDATE volguard.services AS s SET heartbeat_at = pg_catalog.clock_timestamp()
     WHERE s.service_id = $1 AND s.fenced_at IS NULL RETURNING s.lease",
);

/// Only under the gate's exclusive lock. `$2`: whether it may be alive.
pub static FENCE: Statement = Statement::new(
    &[INT8OID, BOOLOID],
    "UPDATE volguard.services AS s SET fenced_at = pg_catalog.clock_timestamp()
     WHERE s.service_id = $1 AND s.fenced_at IS NULL
       AND ($2 OR s.heartbeat_at + s.lease <= pg_catalog.clock_timestamp())",
);

pub static REMOVE_SERVICE: Statement = Statement::new(
    &[INT8OID],
    "DELETE FROM volguard.services AS s WHERE s.service_id = $1
     AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id = s.service_id)",
);

pub static REMOVE_OLD_SERVICES: Statement = Statement::new(
    &[INT4OID],
    "DELETE FROM volguard.services AS s
     WHERE s.fenced_at <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1)
       AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id = s.service_id)",
);

/// Only as head of the key's line, and of the work slot's if `$5` is given. The two sub-selects keep the insert from
/// meeting a row that somebody is deleting, for which it would wait.
pub static ACQUIRE: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, JSONBOID, INT8OID],
    "INSERT INTO volguard.workers
         (cluster, resource_type, resource_id, lock_name, token, service_id, status, request_id, acquired_at, updated_at, details)
     SELECT s.cluster, $2, $3, $4, $8 | pg_catalog.nextval('volguard.token_counter'), s.service_id, $5, $6, t.now, t.now, $7
     FROM volguard.services AS s, pg_catalog.clock_timestamp() AS t (now)
     WHERE s.service_id = $1 AND s.fenced_at IS NULL AND s.heartbeat_at + s.lease > t.now
       AND NOT EXISTS (
           SELECT FROM volguard.workers AS w
           WHERE w.cluster = s.cluster AND w.resource_type = $2 AND w.resource_id = $3 AND w.lock_name = $4)
       AND ($5 IS NULL OR NOT EXISTS (
           SELECT FROM volguard.workers AS w
           WHERE w.cluster = s.cluster AND w.resource_type = $2 AND w.resource_id = $3 AND w.status IS NOT NULL))
     ON CONFLICT DO NOTHING
     RETURNING token",
);

/// Why an acquire got nothing: the caller's own state, and the row in the way (the key's, else the work slot's).
pub static WHY_REFUSED: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID],
    "SELECT s.fenced_at IS NOT NULL,
            s.heartbeat_at + s.lease <= t.now,
            w.token,
            coalesce(w.lock_name = $4 AND w.service_id = s.service_id AND w.request_id = $6, false),
            w.ctid,
            w.service_id,
            h.service_id IS NULL OR h.fenced_at IS NOT NULL OR h.heartbeat_at + h.lease <= t.now,
            pg_catalog.ceil(extract(epoch FROM h.heartbeat_at + h.lease - t.now) * 1000)::pg_catalog.int8,
            w.status IS NULL OR EXISTS (SELECT FROM volguard.crash_rules AS r WHERE r.resource_type = $2 AND r.status = w.status)
     FROM pg_catalog.clock_timestamp() AS t (now)
     CROSS JOIN volguard.services AS s
     LEFT JOIN LATERAL (
         SELECT k.token, k.lock_name, k.ctid, k.service_id, k.request_id, k.status FROM volguard.workers AS k
         WHERE k.cluster = s.cluster AND k.resource_type = $2 AND k.resource_id = $3 AND k.lock_name = $4
         UNION ALL
         SELECT k.token, k.lock_name, k.ctid, k.service_id, k.request_id, k.status FROM volguard.workers AS k
         WHERE k.cluster = s.cluster AND k.resource_type = $2 AND k.resource_id = $3
           AND k.status IS NOT NULL AND $5 IS NOT NULL
         LIMIT 1) AS w ON true
     LEFT JOIN volguard.services AS h ON h.service_id = w.service_id
     WHERE s.service_id = $1",
);

/// The rows that a removal returns, for the wake-ups.
macro_rules! removed {
    () => {
        "RETURNING w.cluster, w.resource_type, w.resource_id, w.lock_name, w.status IS NOT NULL, w.token"
    };
}

/// Whose tokens the caller, `$2`, may use.
macro_rules! permitted {
    () => {
        "(s.registered_by = $2 OR pg_catalog.pg_has_role($2, s.registered_by, 'USAGE'))"
    };
}

pub static RELEASE: Statement = Statement::new(
    &[INT8OID, OIDOID],
    concat!(
        "DELETE FROM volguard.workers AS w USING volguard.services AS s
         WHERE w.token = $1 AND s.service_id = w.service_id AND s.fenced_at IS NULL AND ",
        permitted!(),
        " ",
        removed!()
    ),
);

pub static RELEASE_ALL: Statement = Statement::new(
    &[INT8ARRAYOID, OIDOID],
    concat!(
        "DELETE FROM volguard.workers AS w USING volguard.services AS s
         WHERE w.token = ANY ($1) AND s.service_id = w.service_id AND s.fenced_at IS NULL AND ",
        permitted!(),
        " ",
        removed!()
    ),
);

/// One token of `$1` that is held by a service which isn't the caller's.
pub static NOT_PERMITTED: Statement =
    Statement::new(
        &[INT8ARRAYOID, OIDOID],
        concat!(
        "SELECT w.token FROM volguard.workers AS w JOIN volguard.services AS s USING (service_id)
         WHERE w.token = ANY ($1) AND NOT ", permitted!(), " LIMIT 1"
    ),
    );

pub static RECONCILE: Statement = Statement::new(
    &[INT8OID, INT8ARRAYOID],
    concat!(
        "DELETE FROM volguard.workers AS w
         WHERE w.service_id = $1 AND w.crashed_service_id IS NULL AND w.token <> ALL ($2) ",
        removed!()
    ),
);

pub static FORCE_RELEASE: Statement = Statement::new(
    &[INT8OID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.token = $1 ",
        removed!()
    ),
);

pub static RESET_RESOURCE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.resource_type = $1 AND w.resource_id = $2 ",
        removed!()
    ),
);

/// Who registered the services that hold a resource.
pub static RESOURCE_OWNERS: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT DISTINCT s.registered_by::pg_catalog.oid
     FROM volguard.workers AS w JOIN volguard.services AS s USING (service_id)
     WHERE w.resource_type = $1 AND w.resource_id = $2",
);

pub static TOKEN_SERVICE: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.service_id, s.registered_by::pg_catalog.oid, w.cluster, w.resource_type, w.resource_id, w.status IS NOT NULL
     FROM volguard.workers AS w JOIN volguard.services AS s USING (service_id) WHERE w.token = $1",
);

/// Only under the gate's shared lock. KEY SHARE is the weakest lock that a DELETE waits for; a change of status passes.
pub static HOLD: Statement = Statement::new(
    &[INT8OID],
    "SELECT FROM volguard.workers AS w JOIN volguard.services AS s USING (service_id)
     WHERE w.token = $1 AND s.fenced_at IS NULL FOR KEY SHARE OF w",
);

/// Only under the gate's shared lock, and as head of the work slot's line if `$2` is given.
pub static SET_STATUS: Statement = Statement::new(
    &[INT8OID, TEXTOID],
    "UPDATE volguard.workers AS w SET status = $2, updated_at = pg_catalog.clock_timestamp()
     FROM volguard.services AS s
     WHERE w.token = $1 AND s.service_id = w.service_id AND s.fenced_at IS NULL
       AND ($2 IS NULL OR NOT EXISTS (
           SELECT FROM volguard.workers AS o
           WHERE o.cluster = w.cluster AND o.resource_type = w.resource_type AND o.resource_id = w.resource_id
             AND o.status IS NOT NULL AND o.token <> w.token))",
);

pub static TRACK_RESOURCE: Statement = Statement::new(
    &[TEXTOID, OIDOID, NAMEOID, NAMEOID, OIDOID],
    "INSERT INTO volguard.resources AS r (resource_type, target, id_column, status_column, registered_by)
     VALUES ($1, $2::pg_catalog.regclass, $3, $4, $5::pg_catalog.regrole)
     ON CONFLICT (resource_type) DO UPDATE
     SET target = excluded.target, id_column = excluded.id_column, status_column = excluded.status_column
     WHERE r.registered_by = $5 OR pg_catalog.pg_has_role($5, r.registered_by, 'USAGE')",
);

pub static RESOURCE: Statement = Statement::new(
    &[TEXTOID],
    "SELECT r.target::pg_catalog.oid, r.id_column, r.status_column, r.registered_by::pg_catalog.oid
     FROM volguard.resources AS r WHERE r.resource_type = $1",
);

pub static SET_RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, JSONBOID, OIDOID, TEXTOID],
    "INSERT INTO volguard.crash_rules AS r (resource_type, status, \"values\", registered_by, search_path)
     VALUES ($1, $2, $3, $4::pg_catalog.regrole, $5)
     ON CONFLICT (resource_type, status) DO UPDATE
     SET \"values\" = excluded.\"values\", registered_by = excluded.registered_by, search_path = excluded.search_path",
);

pub static DROP_RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "DELETE FROM volguard.crash_rules AS r WHERE r.resource_type = $1 AND r.status = $2",
);

pub static RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT r.\"values\", r.registered_by::pg_catalog.oid, r.search_path
     FROM volguard.crash_rules AS r WHERE r.resource_type = $1 AND r.status = $2",
);

/// The dead services that a cleanup is about, in the order in which their gates are taken.
pub static DEAD_SERVICES: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TIMESTAMPTZOID],
    "SELECT s.service_id, s.cluster, s.host
     FROM volguard.services AS s JOIN volguard.clusters AS c ON c.name = s.cluster
     WHERE ($1 IS NULL OR s.service_id = $1) AND ($2 IS NULL OR s.cluster = $2) AND ($3 IS NULL OR s.host = $3)
       AND ($4 IS NULL OR s.binary_name = $4) AND ($5 IS NULL OR c.disabled = $5)
       AND (s.fenced_at IS NOT NULL OR s.heartbeat_at + s.lease <= pg_catalog.clock_timestamp())
       AND (s.fenced_at IS NULL AND $6 IS NULL AND $7 IS NULL AND $8 IS NULL
            OR EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id = s.service_id
                       AND ($6 IS NULL OR w.resource_type = $6) AND ($7 IS NULL OR w.resource_id = $7)
                       AND ($8 IS NULL OR w.acquired_at <= $8)))
     ORDER BY s.service_id",
);

pub static ALIVE: Statement = Statement::new(
    &[INT8OID],
    "SELECT s.fenced_at IS NULL AND s.heartbeat_at + s.lease > pg_catalog.clock_timestamp()
     FROM volguard.services AS s WHERE s.service_id = $1",
);

pub static DROP_PLAIN_LOCKS: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID],
    concat!(
        "DELETE FROM volguard.workers AS w
         WHERE w.service_id = $1 AND w.status IS NULL AND ($2 IS NULL OR w.resource_type = $2)
           AND ($3 IS NULL OR w.resource_id = $3) AND ($4 IS NULL OR w.acquired_at <= $4) ",
        removed!()
    ),
);

/// The work of a dead service, and what is to become of it, locked.
pub static CRASHED_WORK: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID],
    "SELECT w.token, w.resource_type, w.resource_id, w.status FROM volguard.workers AS w
     WHERE w.service_id = $1 AND w.status IS NOT NULL AND ($2 IS NULL OR w.resource_type = $2)
       AND ($3 IS NULL OR w.resource_id = $3) AND ($4 IS NULL OR w.acquired_at <= $4)
     ORDER BY w.resource_type, w.status, w.token FOR UPDATE",
);

pub static SERVICE_ROWS: Statement = Statement::new(
    &[INT8OID],
    "SELECT FROM volguard.workers AS w WHERE w.service_id = $1",
);
