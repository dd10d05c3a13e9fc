//! Statements on events.

use super::Statement;
use pgrx::pg_sys::{BOOLOID, INT4OID, INT8OID, JSONBOID, OIDOID, TEXTOID};

pub static ADD_EVENT: Statement = Statement::new(
    &[TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, INT8OID, OIDOID, JSONBOID, INT8OID, BOOLOID],
    "INSERT INTO volguard.events
         (event_id, at, kind, cluster, service_id, resource_type, resource_id, lock_name, token, role, details, by_age)
     VALUES ($10, pg_catalog.clock_timestamp(), $1, $2, $3, $4, $5, $6, $7, pg_catalog.pg_get_userbyid($8), $9, $11)",
);

/// Whether neither this failure nor a hundred others of the type were recorded within an hour.
pub static FAILURE_IS_NEWS: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID],
    "SELECT pg_catalog.count(1) {<} 100 AND coalesce(pg_catalog.bool_and(NOT known.is_this), true)
     FROM (SELECT e.resource_id {=} $2 AND (e.details {->>} 'status') {=} $3 AS is_this FROM volguard.events AS e
           WHERE e.kind {=} 'rule_failed' AND e.resource_type {=} $1
             AND e.at {>} (pg_catalog.clock_timestamp() {-} pg_catalog.make_interval(hours => 1))
           LIMIT 100) AS known",
);

/// The `$3` oldest of those that are more than `$2`, and of the `$3` oldest of either sort those that are older than
/// `$1` seconds. Those that are kept for their age alone don't count. Rows that another transaction is removing are
/// skipped: in the first part the next ones take their place, so that a transaction that is left open stops nothing.
pub static REMOVE_OLDEST_EVENTS: Statement = Statement::new(
    &[INT4OID, INT4OID, INT4OID],
    "DELETE FROM volguard.events AS e WHERE e.event_id {=} ANY (ARRAY(
         SELECT o.event_id FROM volguard.events AS o
         WHERE NOT o.by_age AND o.event_id {<=} (SELECT n.event_id FROM volguard.events AS n WHERE NOT n.by_age
                                                 ORDER BY n.event_id DESC OFFSET $2 LIMIT 1)
         ORDER BY o.event_id LIMIT $3 FOR UPDATE OF o SKIP LOCKED
     ) {||} ARRAY(
         SELECT o.event_id
         FROM ((SELECT k.event_id FROM volguard.events AS k WHERE NOT k.by_age ORDER BY k.event_id LIMIT $3)
               UNION ALL
               (SELECT k.event_id FROM volguard.events AS k WHERE k.by_age ORDER BY k.event_id LIMIT $3)) AS oldest
         JOIN volguard.events AS o ON o.event_id {=} oldest.event_id
         WHERE o.at {<=} (pg_catalog.clock_timestamp() {-} pg_catalog.make_interval(secs => $1))
         FOR UPDATE OF o SKIP LOCKED))",
);
