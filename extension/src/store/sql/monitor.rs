//! Statements that read, for people.

use super::{Statement, lease_over, sane};
use pgrx::pg_sys::{INT8ARRAYOID, TEXTOID};

/// The rows that are in the way of a lock, or of a piece of work: that of the key first, then that of the work slot.
/// The last column: NULL without a crash rule, otherwise why the rule is suspended, if it is.
pub static WHO_HOLDS: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID],
    concat!(
        "SELECT w.lock_name, w.token, w.status, w.service_id, w.cluster, w.crashed_service_id, w.awaiting_reason,
             extract(epoch FROM CASE WHEN pg_catalog.isfinite(w.retry_at) THEN w.retry_at {-} t.now END)::pg_catalog.float8,
             CASE WHEN pg_catalog.isfinite(w.acquired_at) THEN pg_catalog.date_trunc('second', w.acquired_at)
                  ELSE w.acquired_at END::pg_catalog.text,
             coalesce(extract(epoch FROM CASE WHEN pg_catalog.isfinite(w.acquired_at) THEN t.now {-} w.acquired_at END), 0)::pg_catalog.float8,
             s.host, s.binary_name,
             CASE WHEN w.service_id IS NULL THEN 'waiting' WHEN s.service_id IS NULL THEN 'gone' WHEN s.fenced_at IS NOT NULL THEN 'fenced' WHEN NOT ",
        sane!("s"),
        " THEN 'broken' WHEN ",
        lease_over!("s", "t.now"),
        " THEN 'down' ELSE 'up' END,
             coalesce(extract(epoch FROM CASE WHEN s.fenced_at IS NULL AND ",
        sane!("s"),
        " THEN t.now {-} s.lease {-} s.heartbeat_at
                                     WHEN pg_catalog.isfinite(s.fenced_at) THEN t.now {-} s.fenced_at END), 0)::pg_catalog.float8,
             extract(epoch FROM s.lease)::pg_catalog.float8,
             (SELECT CASE WHEN c.oid IS NULL THEN 'its table does not exist any more'
                          WHEN k.target {<>} r.target THEN 'the type is tracked in another table now'
                          WHEN k.owner {<>} pg_catalog.pg_get_userbyid(c.relowner) THEN 'the table has another owner now'
                          ELSE '' END
              FROM volguard.crash_rules AS k JOIN volguard.resources AS r ON r.resource_type {=} k.resource_type
              LEFT JOIN pg_catalog.pg_class AS c ON c.oid {=} r.target
              WHERE k.resource_type {=} w.resource_type AND k.status {=} w.status),
             w.work_id, w.operation, w.host, w.attempt, w.priority,
             extract(epoch FROM CASE WHEN pg_catalog.isfinite(w.not_before) THEN w.not_before {-} t.now END)::pg_catalog.float8,
             w.submitted_by::pg_catalog.text,
             EXISTS (SELECT FROM volguard.clusters AS c WHERE c.name {=} w.cluster),
             EXISTS (SELECT FROM volguard.clusters AS c WHERE c.name {=} w.cluster AND c.disabled),
             (SELECT pg_catalog.count(1) FROM volguard.services AS o
              WHERE w.service_id IS NULL AND o.cluster {=} w.cluster AND o.fenced_at IS NULL AND NOT o.disabled
                AND (w.host {=} '' OR o.host {=} w.host) AND ",
        sane!("o"),
        " AND NOT ",
        lease_over!("o", "t.now"),
        ")
         FROM pg_catalog.clock_timestamp() AS t (now), volguard.workers AS w
         LEFT JOIN volguard.services AS s ON s.service_id {=} w.service_id
         WHERE w.resource_type {=} $1 AND w.resource_id {=} $2 AND (w.lock_name {=} $3 OR w.status IS NOT NULL)
         ORDER BY w.lock_name {<>} $3"
    ),
);

pub static NAMES_OF_SERVICES: Statement = Statement::new(
    &[INT8ARRAYOID],
    "SELECT s.service_id, s.host, s.binary_name FROM volguard.services AS s WHERE s.service_id {=} ANY ($1)",
);
