//! Statements on locks.

use super::{Statement, permitted, removed};
use pgrx::pg_sys::{
    BOOLOID, INT8ARRAYOID, INT8OID, JSONBOID, OIDOID, TEXTOID, TIMESTAMPTZOID, UUIDOID,
};

/// Only as head of the key's line, and of the work slot's if there is a status, when both are free. Nobody can be in its way
/// then but somebody who writes the table by hand, and that is an error.
pub static ACQUIRE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID, UUIDOID, JSONBOID, TIMESTAMPTZOID],
    "INSERT INTO volguard.workers
         (cluster, resource_type, resource_id, lock_name, token, service_id, status, request_id, details, acquired_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
);

/// Why an acquire got nothing: the caller's own state, and the row in the way (the key's, else with `$5` the work slot's). A
/// claimed row keeps the request id of the crashed service, whose request that was.
pub static WHY_REFUSED: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, UUIDOID],
    "SELECT s.fenced_at IS NOT NULL,
            s.heartbeat_at {+} s.lease {<=} t.now,
            w.token,
            coalesce(w.lock_name {=} $4 AND w.service_id {=} s.service_id AND w.request_id {=} $6 AND w.crashed_service_id IS NULL, false),
            w.ctid,
            w.service_id,
            h.service_id IS NULL OR h.fenced_at IS NOT NULL OR h.heartbeat_at {+} h.lease {<=} t.now,
            pg_catalog.ceil(extract(epoch FROM h.heartbeat_at {+} h.lease {-} t.now) {*} 1000)::pg_catalog.int8,
            w.status IS NULL OR EXISTS (SELECT FROM volguard.crash_rules AS r WHERE r.resource_type {=} $2 AND r.status {=} w.status)
     FROM pg_catalog.clock_timestamp() AS t (now)
     CROSS JOIN volguard.services AS s
     LEFT JOIN LATERAL (
         SELECT k.token, k.lock_name, k.ctid, k.service_id, k.request_id, k.status, k.crashed_service_id FROM volguard.workers AS k
         WHERE k.cluster {=} s.cluster AND k.resource_type {=} $2 AND k.resource_id {=} $3 AND k.lock_name {=} $4
         UNION ALL
         SELECT k.token, k.lock_name, k.ctid, k.service_id, k.request_id, k.status, k.crashed_service_id FROM volguard.workers AS k
         WHERE k.cluster {=} s.cluster AND k.resource_type {=} $2 AND k.resource_id {=} $3
           AND k.status IS NOT NULL AND $5
         LIMIT 1) AS w ON true
     LEFT JOIN volguard.services AS h ON h.service_id {=} w.service_id
     WHERE s.service_id {=} $1",
);

/// Only inside the gate of the service that has the token, and of one that isn't fenced.
pub static RELEASE: Statement = Statement::new(
    &[INT8OID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.token {=} $1 ",
        removed!()
    ),
);

pub static RELEASE_ALL: Statement = Statement::new(
    &[INT8ARRAYOID, OIDOID],
    concat!(
        "DELETE FROM volguard.workers AS w USING volguard.services AS s
         WHERE w.token {=} ANY ($1) AND s.service_id {=} w.service_id AND s.fenced_at IS NULL AND ",
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
        "SELECT w.token FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id
         WHERE w.token {=} ANY ($1) AND NOT ", permitted!(), " LIMIT 1"
    ),
    );

/// Who holds the tokens `$1`.
pub static HOLDERS: Statement = Statement::new(
    &[INT8ARRAYOID],
    "SELECT DISTINCT w.service_id FROM volguard.workers AS w WHERE w.token {=} ANY ($1) ORDER BY w.service_id",
);

/// The sub-select is hashed, whatever the planner thinks that `$2` holds; `ALL ($2)` would be searched from the start each time.
pub static RECONCILE: Statement = Statement::new(
    &[INT8OID, INT8ARRAYOID],
    concat!(
        "DELETE FROM volguard.workers AS w
         WHERE w.service_id {=} $1 AND w.crashed_service_id IS NULL AND NOT w.token {=} ANY (SELECT pg_catalog.unnest($2)) ",
        removed!()
    ),
);

pub static FORCE_RELEASE: Statement = Statement::new(
    &[INT8OID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.token {=} $1 ",
        removed!()
    ),
);

pub static RESET_RESOURCE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    concat!(
        "DELETE FROM volguard.workers AS w WHERE w.resource_type {=} $1 AND w.resource_id {=} $2 ",
        removed!()
    ),
);

/// Who registered the services that hold a resource.
pub static RESOURCE_OWNERS: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT DISTINCT s.registered_by::pg_catalog.oid
     FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id
     WHERE w.resource_type {=} $1 AND w.resource_id {=} $2",
);

pub static TOKEN_SERVICE: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.service_id, s.registered_by::pg_catalog.oid, w.cluster, w.resource_type, w.resource_id, w.status IS NOT NULL
     FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id WHERE w.token {=} $1",
);

/// Only under the gate's shared lock. KEY SHARE is the weakest lock that a DELETE waits for; a change of status passes.
pub static HOLD: Statement = Statement::new(
    &[INT8OID],
    "SELECT FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id
     WHERE w.token {=} $1 AND s.fenced_at IS NULL FOR KEY SHARE OF w",
);

/// Only under the gate's shared lock, and as head of the work slot's line if `$2` is given.
pub static SET_STATUS: Statement = Statement::new(
    &[INT8OID, TEXTOID],
    "UPDATE volguard.workers AS w
     SET status {:=} $2, updated_at {:=} pg_catalog.clock_timestamp(),
         crashed_service_id {:=} CASE WHEN $2 IS NOT NULL THEN w.crashed_service_id END
     FROM volguard.services AS s
     WHERE w.token {=} $1 AND s.service_id {=} w.service_id AND s.fenced_at IS NULL
       AND ($2 IS NULL OR NOT EXISTS (
           SELECT FROM volguard.workers AS o
           WHERE o.cluster {=} w.cluster AND o.resource_type {=} w.resource_type AND o.resource_id {=} w.resource_id
             AND o.status IS NOT NULL AND o.token {<>} w.token))",
);
