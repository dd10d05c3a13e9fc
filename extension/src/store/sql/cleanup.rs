//! Statements on tracked resources, crash rules and what dead services have left.

use super::{Statement, lease_over, removed};
use pgrx::pg_sys::{BOOLOID, INT4OID, INT8ARRAYOID, INT8OID, JSONBOID, NAMEOID, OIDOID, Oid, TEXTOID, TIMESTAMPTZOID};

pub static TRACK_RESOURCE: Statement = Statement::new(
    &[TEXTOID, OIDOID, NAMEOID, NAMEOID, OIDOID, OIDOID],
    "INSERT INTO volguard.resources AS r (resource_type, target, id_column, status_column, registered_by, id_type)
     VALUES ($1, $2::pg_catalog.regclass, $3, $4, $5::pg_catalog.regrole, $6::pg_catalog.regtype)
     ON CONFLICT (resource_type) DO UPDATE
     SET target {:=} excluded.target, id_column {:=} excluded.id_column, status_column {:=} excluded.status_column,
         id_type {:=} excluded.id_type
     WHERE r.registered_by {=} $5 OR pg_catalog.pg_has_role($5, r.registered_by, 'USAGE')",
);

pub static SET_RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, JSONBOID, OIDOID, TEXTOID],
    "INSERT INTO volguard.crash_rules AS r (resource_type, status, changes, registered_by, search_path)
     VALUES ($1, $2, $3, $4::pg_catalog.regrole, $5)
     ON CONFLICT (resource_type, status) DO UPDATE
     SET changes {:=} excluded.changes, registered_by {:=} excluded.registered_by, search_path {:=} excluded.search_path",
);

pub static DROP_RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "DELETE FROM volguard.crash_rules AS r WHERE r.resource_type {=} $1 AND r.status {=} $2",
);

pub static RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT r.changes, r.registered_by::pg_catalog.oid, r.search_path
     FROM volguard.crash_rules AS r WHERE r.resource_type {=} $1 AND r.status {=} $2",
);

/// The dead services that a cleanup is about, in the order in which their locks are taken.
pub static DEAD_SERVICES: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TIMESTAMPTZOID],
    concat!(
        "SELECT s.service_id, s.cluster, s.host
         FROM volguard.services AS s JOIN volguard.clusters AS c ON c.name {=} s.cluster
         WHERE ($1 IS NULL OR s.service_id {=} $1) AND ($2 IS NULL OR s.cluster {=} $2) AND ($3 IS NULL OR s.host {=} $3)
           AND ($4 IS NULL OR s.binary_name {=} $4) AND ($5 IS NULL OR c.disabled {=} $5)
           AND (s.fenced_at IS NOT NULL OR ",
        lease_over!("s"),
        ") AND (s.fenced_at IS NULL AND $6 IS NULL AND $7 IS NULL AND $8 IS NULL
            OR EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id {=} s.service_id
                       AND ($6 IS NULL OR w.resource_type {=} $6) AND ($7 IS NULL OR w.resource_id {=} $7)
                       AND ($8 IS NULL OR w.acquired_at {<=} $8)))
         ORDER BY s.service_id"
    ),
);

/// What is due for a cleanup by itself: services that have died, fenced services that have left something behind,
/// and, if `outdated`, those to be forgotten. Nearly always no row.
pub static DUE_SERVICES: Statement = Statement::new(
    &[TEXTOID, INT4OID],
    concat!(
        "SELECT s.service_id, s.cluster, s.host, s.fenced_at IS NOT NULL AND NOT left_behind AS outdated
         FROM volguard.services AS s, LATERAL (SELECT s.fenced_at IS NOT NULL AND EXISTS
             (SELECT FROM volguard.workers AS w WHERE w.service_id {=} s.service_id)) AS l (left_behind)
         WHERE ($1 IS NULL OR s.cluster {=} $1)
           AND CASE WHEN s.fenced_at IS NULL THEN ",
        lease_over!("s"),
        "           WHEN left_behind THEN s.postponed_until IS NULL OR s.postponed_until {<=} pg_catalog.clock_timestamp()
                    ELSE s.fenced_at {<=} (pg_catalog.clock_timestamp() {-} pg_catalog.make_interval(secs => $2)) END
         ORDER BY s.service_id"
    ),
);

pub static POSTPONE: Statement = Statement::new(
    &[INT8OID, INT4OID],
    "UPDATE volguard.services AS s
     SET postponed_until {:=} pg_catalog.clock_timestamp() {+} pg_catalog.make_interval(secs => $2)
     WHERE s.service_id {=} $1",
);

pub static ALIVE: Statement = Statement::new(
    &[INT8OID],
    concat!(
        "SELECT s.fenced_at IS NULL AND NOT ",
        lease_over!("s"),
        " FROM volguard.services AS s WHERE s.service_id {=} $1"
    ),
);

/// Those of the services `$1` that are fenced or gone.
pub static DEAD: Statement = Statement::new(
    &[INT8ARRAYOID],
    "SELECT d.service_id FROM pg_catalog.unnest($1) AS d (service_id)
     WHERE NOT EXISTS (SELECT FROM volguard.services AS s WHERE s.service_id {=} d.service_id AND s.fenced_at IS NULL)",
);

/// Which rows of the dead services `$1` a cleanup is about: `$2` to `$4`, NULL for all.
const SCOPE: [Oid; 4] = [INT8ARRAYOID, TEXTOID, TEXTOID, TIMESTAMPTZOID];
macro_rules! in_scope {
    () => {
        "w.service_id {=} ANY ($1) AND ($2 IS NULL OR w.resource_type {=} $2)
           AND ($3 IS NULL OR w.resource_id {=} $3) AND ($4 IS NULL OR w.acquired_at {<=} $4) "
    };
}

/// The same rows, as far as they are of one kind: `$5` and `$6`.
const KIND: [Oid; 6] = [SCOPE[0], SCOPE[1], SCOPE[2], SCOPE[3], TEXTOID, TEXTOID];
macro_rules! of_kind {
    () => {
        concat!("w.resource_type {=} $5 AND w.status {=} $6 AND ", in_scope!())
    };
}

pub static DROP_PLAIN_LOCKS: Statement = Statement::new(
    &SCOPE,
    concat!("DELETE FROM volguard.workers AS w WHERE w.status IS NULL AND ", in_scope!(), removed!()),
);

/// In which statuses of which types the dead services have work. Unsorted, with duplicates: for the few rows that one
/// service mostly has, sorting costs more than reading.
pub static CRASHED_KINDS: Statement = Statement::new(
    &SCOPE,
    concat!("SELECT w.resource_type, w.status FROM volguard.workers AS w WHERE w.status IS NOT NULL AND ", in_scope!()),
);

/// The work of one kind, in the columns of a removal.
pub static CRASHED_WORK: Statement = Statement::new(
    &KIND,
    concat!(
        "SELECT w.cluster, w.resource_type, w.resource_id, w.lock_name, true, w.token, w.service_id
         FROM volguard.workers AS w WHERE ",
        of_kind!(),
        "ORDER BY w.token"
    ),
);

/// All the work of one kind.
pub static REMOVE_CRASHED_KIND: Statement =
    Statement::new(&KIND, concat!("DELETE FROM volguard.workers AS w WHERE ", of_kind!(), removed!()));

/// The work with the tokens `$1`, if it still has the status `$2`. Work that a service has claimed has another token.
pub static REMOVE_CRASHED_WORK: Statement = Statement::new(
    &[INT8ARRAYOID, TEXTOID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.token {=} ANY ($1) AND w.status {=} $2 ", removed!()),
);

pub static SERVICE_ROWS: Statement =
    Statement::new(&[INT8OID], "SELECT FROM volguard.workers AS w WHERE w.service_id {=} $1");
