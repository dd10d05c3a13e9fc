//! Statements on many locks at once. They read the list of locks as it came: one statement, whatever its length.

use super::Statement;
use pgrx::pg_sys::{INT8ARRAYOID, INT8OID, JSONBOID, TEXTOID, UUIDOID};

/// The locks of the list `$2`.
macro_rules! wanted {
    () => {
        "ROWS FROM (pg_catalog.jsonb_to_recordset($2) AS
             (resource_type pg_catalog.text, resource_id pg_catalog.text, lock_name pg_catalog.text, status pg_catalog.text, details pg_catalog.jsonb))
         WITH ORDINALITY AS l (resource_type, resource_id, lock_name, status, details, position)"
    };
}

/// The row that has the key of a lock `l` in the cluster `$4`, else its work slot. Limited, so that it stays a look-up in
/// the index for each lock.
macro_rules! in_the_way {
    () => {
        "SELECT k.token, false AS of_slot, k.ctid, k.service_id, k.request_id, k.status, k.crashed_service_id FROM volguard.workers AS k
         WHERE k.cluster {=} $4 AND k.resource_type {=} l.resource_type AND k.resource_id {=} l.resource_id
           AND k.lock_name {=} coalesce(l.lock_name, '')
         UNION ALL
         SELECT k.token, true, k.ctid, k.service_id, k.request_id, k.status, k.crashed_service_id FROM volguard.workers AS k
         WHERE k.cluster {=} $4 AND k.resource_type {=} l.resource_type AND k.resource_id {=} l.resource_id
           AND k.status IS NOT NULL AND l.status IS NOT NULL
         LIMIT 1"
    };
}

/// Only as head of all lines, of the keys and of the work slots. In the order of the list; fewer rows than it has locks, or
/// none, if something was in the way.
pub static ACQUIRE_ALL: Statement = Statement::new(
    &[INT8OID, JSONBOID, UUIDOID, TEXTOID, INT8OID],
    concat!(
        "INSERT INTO volguard.workers
             (cluster, resource_type, resource_id, lock_name, token, service_id, status, request_id, acquired_at, updated_at, details)
         SELECT s.cluster, l.resource_type, l.resource_id, coalesce(l.lock_name, ''), $5 {|} pg_catalog.nextval('volguard.token_counter'),
                s.service_id, l.status, $3, t.now, t.now, l.details
         FROM volguard.services AS s CROSS JOIN pg_catalog.clock_timestamp() AS t (now) CROSS JOIN ",
        wanted!(),
        " WHERE s.service_id {=} $1 AND s.fenced_at IS NULL AND s.heartbeat_at {+} s.lease {>} t.now
           AND NOT EXISTS (SELECT FROM ",
        wanted!(),
        " CROSS JOIN LATERAL (",
        in_the_way!(),
        ") AS w)
         ORDER BY l.position
         ON CONFLICT DO NOTHING
         RETURNING token"
    ),
);

/// Takes back what an `ACQUIRE_ALL` got that did not get all.
pub static UNDO: Statement = Statement::new(
    &[INT8ARRAYOID],
    "DELETE FROM volguard.workers AS w WHERE w.token {=} ANY ($1)",
);

/// Why an `ACQUIRE_ALL` got nothing: the caller's own state, and every row in the way, in the order of the list. The columns
/// are those of `WHY_REFUSED`; then the lock's place in the list, from 0, and whether it is its work slot that is taken.
pub static WHY_REFUSED_ALL: Statement = Statement::new(
    &[INT8OID, JSONBOID, UUIDOID, TEXTOID],
    concat!(
        "SELECT s.fenced_at IS NOT NULL,
                s.heartbeat_at {+} s.lease {<=} t.now,
                w.token,
                coalesce(NOT w.of_slot AND w.service_id {=} s.service_id AND w.request_id {=} $3
                         AND w.crashed_service_id IS NULL, false),
                w.ctid,
                w.service_id,
                h.service_id IS NULL OR h.fenced_at IS NOT NULL OR h.heartbeat_at {+} h.lease {<=} t.now,
                pg_catalog.ceil(extract(epoch FROM h.heartbeat_at {+} h.lease {-} t.now) {*} 1000)::pg_catalog.int8,
                w.status IS NULL OR EXISTS (
                    SELECT FROM volguard.crash_rules AS r WHERE r.resource_type {=} w.resource_type AND r.status {=} w.status),
                w.position {-} 1,
                w.of_slot
         FROM pg_catalog.clock_timestamp() AS t (now)
         CROSS JOIN volguard.services AS s
         LEFT JOIN (SELECT l.position, l.resource_type, k.token, k.of_slot, k.ctid, k.service_id, k.request_id, k.status, k.crashed_service_id FROM ",
        wanted!(),
        " CROSS JOIN LATERAL (",
        in_the_way!(),
        ") AS k) AS w ON true
         LEFT JOIN volguard.services AS h ON h.service_id {=} w.service_id
         WHERE s.service_id {=} $1
         ORDER BY w.position"
    ),
);
