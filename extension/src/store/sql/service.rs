//! Statements on services. A service is alive if it isn't fenced and its last heartbeat is younger than its lease.

use super::{Statement, lease_over};
use pgrx::pg_sys::{BOOLOID, INT4OID, INT8ARRAYOID, INT8OID, INTERVALOID, JSONBOID, OIDOID, TEXTOID};

pub static INCARNATION: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID],
    "SELECT s.service_id, s.registered_by::pg_catalog.oid FROM volguard.services AS s
     WHERE s.cluster {=} $1 AND s.host {=} $2 AND s.binary_name {=} $3 AND s.fenced_at IS NULL",
);

pub static ADD_SERVICE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID, INTERVALOID, OIDOID, JSONBOID, INT8OID],
    "INSERT INTO volguard.services
         (service_id, cluster, host, binary_name, lease, registered_by, details, heartbeat_at, registered_at)
     SELECT $7, $1, $2, $3, $4, $5::pg_catalog.regrole, $6, t.now, t.now
     FROM pg_catalog.clock_timestamp() AS t (now)",
);

pub static HEARTBEAT: Statement = Statement::new(
    &[INT8OID],
    "UPDATE volguard.services AS s SET heartbeat_at {:=} pg_catalog.clock_timestamp()
     WHERE s.service_id {=} $1 AND s.fenced_at IS NULL RETURNING s.lease",
);

/// Only under the exclusive service locks. `$2`: whether a service that is alive is fenced, too.
pub static FENCE: Statement = Statement::new(
    &[INT8ARRAYOID, BOOLOID],
    concat!(
        "UPDATE volguard.services AS s SET fenced_at {:=} pg_catalog.clock_timestamp()
         WHERE s.service_id {=} ANY ($1) AND s.fenced_at IS NULL AND ($2 OR ",
        lease_over!("s"),
        ") RETURNING s.service_id, s.cluster, s.host, s.binary_name,
             pg_catalog.round(extract(epoch FROM s.fenced_at {-} s.heartbeat_at), 3)::pg_catalog.float8"
    ),
);

pub static REMOVE_SERVICE: Statement = Statement::new(
    &[INT8OID],
    "DELETE FROM volguard.services AS s WHERE s.service_id {=} $1
     AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id {=} s.service_id)",
);

/// Passes over services that another cleanup is removing. A service whose work is claimed stays, since a claim may be
/// given back.
pub static REMOVE_OLD_SERVICES: Statement = Statement::new(
    &[INT4OID],
    "DELETE FROM volguard.services AS s WHERE s.service_id {=} ANY (ARRAY(
         SELECT o.service_id FROM volguard.services AS o
         WHERE o.fenced_at {<=} (pg_catalog.clock_timestamp() {-} pg_catalog.make_interval(secs => $1))
           AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id {=} o.service_id)
           AND NOT EXISTS (SELECT FROM volguard.workers AS w
                           WHERE w.status IS NOT NULL AND w.crashed_service_id {=} o.service_id)
         FOR UPDATE SKIP LOCKED))",
);
