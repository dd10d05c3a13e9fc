//! Statements on what dead services have left.

use super::{Statement, lease_over, removed, sane, work_item};
use pgrx::pg_sys::{BOOLOID, INT4ARRAYOID, INT4OID, INT8ARRAYOID, INT8OID, Oid, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID};

/// Which dead services and which of their rows a cleanup is about: service_id, cluster, host, binary_name, disabled,
/// resource_type, resource_id, until; each NULL for all. Then whether it is about what is due only.
const SELECTION: [Oid; 9] = [INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID];

/// Which rows of a dead service `s` a cleanup is about.
macro_rules! of_service {
    () => {
        "FROM volguard.workers AS w
                         WHERE w.service_id {=} s.service_id AND ($6 IS NULL OR w.resource_type {=} $6)
                           AND ($7 IS NULL OR w.resource_id {=} $7) AND ($8 IS NULL OR w.acquired_at {<=} $8) "
    };
}

/// The dead services of a selection that are not fenced, or have rows in it: first those with a plain lock, then those
/// whose work was not tried for the longest time. `late`: not fenced. Nearly always no row.
pub static DEAD_SERVICES: Statement = Statement::new(
    &SELECTION,
    concat!(
        "SELECT s.service_id, s.cluster, s.host, s.fenced_at IS NULL AS late, l.plain, l.tried IS NOT NULL
         FROM volguard.services AS s LEFT JOIN volguard.clusters AS c ON c.name {=} s.cluster,
              LATERAL (
                  SELECT EXISTS (SELECT ",
        of_service!(),
        "AND w.status IS NULL),
                         CASE WHEN EXISTS (SELECT ",
        of_service!(),
        "AND w.status IS NOT NULL AND w.retry_at IS NULL) THEN pg_catalog.to_timestamp(0)
                              ELSE (SELECT w.retry_at ",
        of_service!(),
        "AND w.retry_at IS NOT NULL AND (NOT $9 OR w.retry_at {<=} pg_catalog.clock_timestamp())
                                    ORDER BY w.retry_at LIMIT 1) END
              ) AS l (plain, tried)
         WHERE ($1 IS NULL OR s.service_id {=} $1) AND ($2 IS NULL OR s.cluster {=} $2) AND ($3 IS NULL OR s.host {=} $3)
           AND ($4 IS NULL OR s.binary_name {=} $4) AND ($5 IS NULL OR coalesce(c.disabled, false) {=} $5)
           AND (s.fenced_at IS NOT NULL OR ",
        lease_over!("s"),
        ") AND (s.fenced_at IS NULL AND $6 IS NULL AND $7 IS NULL AND $8 IS NULL OR l.plain OR l.tried IS NOT NULL)
         ORDER BY l.plain DESC, l.tried, s.service_id"
    ),
);

/// Notes, for the tokens `$1`, why their work awaits (NULL: as before), and after how many seconds it is tried again.
pub static AWAIT: Statement = Statement::new(
    &[INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID],
    "UPDATE volguard.workers AS w
     SET awaiting_reason {:=} coalesce(n.reason, w.awaiting_reason),
         retry_at {:=} pg_catalog.clock_timestamp() {+} pg_catalog.make_interval(secs => n.seconds)
     FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) AS n (token, reason, seconds)
     WHERE w.token {=} n.token",
);

pub static ALIVE: Statement = Statement::new(
    &[INT8OID],
    concat!(
        "SELECT s.fenced_at IS NULL AND ",
        sane!("s"),
        " IS TRUE AND NOT ",
        lease_over!("s"),
        " FROM volguard.services AS s WHERE s.service_id {=} $1"
    ),
);

/// Which rows of the dead services `$1` a cleanup is about: `$2` to `$4`, NULL for all.
macro_rules! in_scope {
    () => {
        "w.service_id {=} ANY ($1) AND ($2 IS NULL OR w.resource_type {=} $2)
           AND ($3 IS NULL OR w.resource_id {=} $3) AND ($4 IS NULL OR w.acquired_at {<=} $4) "
    };
}

/// At most `$5` rows. Passes over rows that are locked.
pub static FREE_PLAIN_LOCKS: Statement = Statement::new(
    &[INT8ARRAYOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.ctid {=} ANY (ARRAY(
             SELECT w.ctid FROM volguard.workers AS w WHERE w.status IS NULL AND ",
        in_scope!(),
        "LIMIT $5 FOR UPDATE SKIP LOCKED)) ",
        removed!()
    ),
);

/// All plain locks of a service whose lock the transaction holds.
pub static DROP_PLAIN_LOCKS: Statement = Statement::new(
    &[INT8OID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.service_id {=} $1 AND w.status IS NULL ", removed!()),
);

/// How much work the services have left in the scope.
pub static WORK_LEFT: Statement = Statement::new(
    &[INT8ARRAYOID, TEXTOID, TEXTOID, TIMESTAMPTZOID],
    concat!(
        "SELECT w.service_id, pg_catalog.count(1) FROM volguard.workers AS w WHERE w.status IS NOT NULL AND ",
        in_scope!(),
        "GROUP BY w.service_id"
    ),
);

/// Work of the services, at most `$6` rows, but for the types `$7`, and with `$5` only what is due. First what was
/// never tried, then what was not tried for the longest time.
pub static WORK: Statement = Statement::new(
    &[INT8ARRAYOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, INT8OID, TEXTARRAYOID],
    concat!(
        "(SELECT ",
        work_item!(),
        " FROM volguard.workers AS w WHERE w.status IS NOT NULL AND w.retry_at IS NULL AND ",
        in_scope!(),
        "AND NOT w.resource_type {=} ANY ($7) LIMIT $6)
         UNION ALL
         (SELECT ",
        work_item!(),
        " FROM volguard.workers AS w WHERE w.status IS NOT NULL AND w.retry_at IS NOT NULL AND ",
        in_scope!(),
        "AND NOT w.resource_type {=} ANY ($7) AND (NOT $5 OR w.retry_at {<=} pg_catalog.clock_timestamp())
          ORDER BY w.retry_at, w.token LIMIT $6)
         LIMIT $6"
    ),
);

/// Removes the plain locks with the tokens `$1`, but for rows that are locked.
pub static FREE_PLAIN_TOKENS: Statement = Statement::new(
    &[INT8ARRAYOID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.ctid {=} ANY (ARRAY(
             SELECT w.ctid FROM volguard.workers AS w
             WHERE w.token {=} ANY ($1) AND w.status IS NULL FOR UPDATE SKIP LOCKED)) ",
        removed!()
    ),
);

/// The work with the tokens `$1` that fenced services have left, in the order in which it is to be tried; with `$2`
/// also what other services have.
pub static WORK_OF_TOKENS: Statement =
    Statement::new(&[INT8ARRAYOID, BOOLOID], concat!(work_of_tokens!(), "ORDER BY w.retry_at NULLS FIRST, w.token"));

/// Locks it, but for rows that are locked.
pub static LOCK_WORK_TOKENS: Statement = Statement::new(
    &[INT8ARRAYOID, BOOLOID],
    concat!(work_of_tokens!(), "ORDER BY w.token FOR UPDATE OF w SKIP LOCKED"),
);

/// The same, but for work that is to be tried again before its rule is applied: its row was locked when the others were
/// put back.
pub static LOCK_WORK_TO_REPAIR: Statement = Statement::new(
    &[INT8ARRAYOID, BOOLOID],
    concat!(
        work_of_tokens!(),
        "AND NOT (w.work_id IS NOT NULL AND s.fenced_at IS NOT NULL AND EXISTS (
             SELECT FROM volguard.crash_rules AS k
             WHERE k.resource_type {=} w.resource_type AND k.status {=} w.status AND w.attempt {<=} k.retry))
         ORDER BY w.token FOR UPDATE OF w SKIP LOCKED"
    ),
);

/// What of a resource is held, or waits: token, status and service of its work, or those of a plain lock.
pub static HELD_OF_RESOURCE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT w.token, w.status, w.service_id FROM volguard.workers AS w WHERE w.resource_type {=} $1 AND w.resource_id {=} $2
     ORDER BY w.status IS NULL LIMIT 1",
);

macro_rules! work_of_tokens {
    () => {
        concat!(
            "SELECT ",
            work_item!(),
            ", s.registered_by::pg_catalog.text, s.fenced_at IS NULL, w.lock_name, w.cluster
             FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id
             WHERE w.token {=} ANY ($1) AND w.status IS NOT NULL AND (s.fenced_at IS NOT NULL OR $2) "
        )
    };
}

/// The services that have the work with the tokens `$1`, whose leases are over and that aren't fenced.
pub static LATE_SERVICES_OF_TOKENS: Statement = Statement::new(
    &[INT8ARRAYOID],
    concat!(
        "SELECT s.service_id FROM volguard.services AS s
         WHERE s.service_id {=} ANY (ARRAY(SELECT w.service_id FROM volguard.workers AS w WHERE w.token {=} ANY ($1)))
           AND s.fenced_at IS NULL AND ",
        lease_over!("s"),
        " ORDER BY s.service_id"
    ),
);

/// How work awaits after its rule has failed: type, status, reason, how much, and the id of the first.
pub static FAILED_WORK: Statement = Statement::new(
    &[INT8ARRAYOID, INT4OID],
    "SELECT w.resource_type, w.status, w.awaiting_reason, pg_catalog.count(1),
            (pg_catalog.array_agg(w.resource_id ORDER BY w.token))[1]
     FROM volguard.workers AS w WHERE w.token {=} ANY ($1) AND w.awaiting_reason IS NOT NULL
     GROUP BY w.resource_type, w.status, w.awaiting_reason ORDER BY w.resource_type, w.status, pg_catalog.min(w.token) LIMIT $2",
);

/// Only on rows that are locked, by one of these statements or by a claim.
pub static REMOVE_WORK: Statement = Statement::new(
    &[INT8ARRAYOID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.token {=} ANY ($1) ", removed!()),
);

pub static SERVICE_ROWS: Statement =
    Statement::new(&[INT8OID], "SELECT FROM volguard.workers AS w WHERE w.service_id {=} $1");

use work_of_tokens;
