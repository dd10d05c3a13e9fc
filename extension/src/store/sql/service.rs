//! Statements on services. A service is alive if it isn't fenced and its last heartbeat is younger than its lease.

use super::{Statement, lease_over, sane};
use pgrx::pg_sys::{
    BOOLOID, FLOAT8OID, INT2OID, INT4OID, INT8ARRAYOID, INT8OID, INTERVALOID, JSONBOID, OIDOID, TEXTOID,
};

/// The incarnation of an identity that isn't fenced.
pub static INCARNATION: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID],
    "SELECT s.service_id FROM volguard.services AS s
     WHERE s.owner {=} $1::pg_catalog.name AND s.host {=} $2 AND s.binary_name {=} $3 AND s.fenced_at IS NULL",
);

pub static ADD_SERVICE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID, INTERVALOID, TEXTOID, TEXTOID, JSONBOID, INT8OID],
    "INSERT INTO volguard.services
         (service_id, cluster, host, binary_name, lease, registered_by, owner, details, heartbeat_at, registered_at)
     SELECT $8, $1, $2, $3, $4, $5, $6, $7, t.now, t.now
     FROM pg_catalog.clock_timestamp() AS t (now)",
);

/// The processes that have an advisory lock; a prepared transaction has none.
pub static HOLDERS: Statement = Statement::new(
    &[OIDOID, OIDOID, INT2OID],
    "SELECT coalesce(l.pid, 0) FROM pg_catalog.pg_locks AS l
     WHERE l.locktype {=} 'advisory' AND l.classid {=} $1 AND l.objid {=} $2 AND l.objsubid {=} $3 AND l.granted
       AND l.database {=} (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname {=} pg_catalog.current_database())
     ORDER BY l.pid LIMIT 20",
);

/// Services that are neither alive nor dead, with their names.
pub static BROKEN_SERVICES: Statement = Statement::new(
    &[],
    concat!(
        "SELECT s.service_id, s.host, s.binary_name FROM volguard.services AS s WHERE s.fenced_at IS NULL AND ",
        sane!("s"),
        " IS NOT TRUE ORDER BY s.service_id LIMIT 20"
    ),
);

pub static HEARTBEAT: Statement = Statement::new(
    &[INT8OID],
    "UPDATE volguard.services AS s SET heartbeat_at {:=} pg_catalog.clock_timestamp()
     WHERE s.service_id {=} $1 AND s.fenced_at IS NULL RETURNING s.lease",
);

pub static SET_SERVICE_DETAILS: Statement = Statement::new(
    &[INT8OID, JSONBOID],
    "UPDATE volguard.services AS s SET details {:=} $2
     WHERE s.service_id {=} $1 AND s.fenced_at IS NULL AND (s.details IS NULL OR s.details {<>} $2)",
);

/// `$3`: the reason, or NULL. No row if the service is marked so already.
pub static SET_SERVICE_DISABLED: Statement = Statement::new(
    &[INT8OID, BOOLOID, TEXTOID],
    "UPDATE volguard.services AS s SET disabled {:=} $2, disabled_reason {:=} $3
     WHERE s.service_id {=} $1 AND s.fenced_at IS NULL
       AND (s.disabled {<>} $2 OR (s.disabled_reason IS NULL) {<>} ($3 IS NULL) OR s.disabled_reason {<>} $3)
     RETURNING s.cluster",
);

/// The owner of the cluster of a service, and whether the role `$2` may disable clusters.
pub static WHO_MAY_DISABLE: Statement = Statement::new(
    &[INT8OID, OIDOID],
    "SELECT s.owner::pg_catalog.text, pg_catalog.has_function_privilege(
                $2, 'volguard.set_cluster_disabled(text, boolean, text)', 'EXECUTE')
     FROM volguard.services AS s WHERE s.service_id {=} $1",
);

/// Only under the exclusive service locks. `$2`: whether a service that is alive is fenced, too.
pub static FENCE: Statement = Statement::new(
    &[INT8ARRAYOID, BOOLOID],
    concat!(
        "UPDATE volguard.services AS s SET fenced_at {:=} pg_catalog.clock_timestamp()
         WHERE s.service_id {=} ANY ($1) AND s.fenced_at IS NULL AND ($2 OR ",
        lease_over!("s"),
        ") RETURNING s.service_id, s.cluster, s.host, s.binary_name,
             CASE WHEN ",
        sane!("s"),
        " THEN pg_catalog.round(extract(epoch FROM s.fenced_at {-} s.heartbeat_at), 3)::pg_catalog.float8 END, ",
        sane!("s"),
        " IS TRUE AND NOT ",
        lease_over!("s")
    ),
);

/// The cluster of a service whose lease has been over for `$2` seconds, or for one more lease. Without `$3` (for a
/// test) of any service. The sum is on the side of the clock, where it can't leave the range of timestamps.
pub static OVERDUE: Statement = Statement::new(
    &[INT8OID, FLOAT8OID, BOOLOID],
    "SELECT s.cluster, pg_catalog.date_part('epoch', coalesce(pg_catalog.make_interval(secs => $2), s.lease))
     FROM volguard.services AS s WHERE s.service_id {=} $1 AND s.fenced_at IS NULL
       AND (NOT $3 OR s.heartbeat_at {<=} (pg_catalog.clock_timestamp() {-} s.lease
                                           {-} coalesce(pg_catalog.make_interval(secs => $2), s.lease)))",
);

/// The processes whose transactions have written the rows of services and have not ended.
pub static ROW_HOLDERS: Statement = Statement::new(
    &[INT8ARRAYOID],
    "SELECT DISTINCT l.pid FROM volguard.services AS s
     JOIN pg_catalog.pg_locks AS l ON l.locktype {=} 'transactionid' AND l.transactionid {=} s.xmax AND l.granted
     WHERE s.service_id {=} ANY ($1) AND l.pid IS NOT NULL",
);

pub static REMOVE_SERVICE: Statement = Statement::new(
    &[INT8OID],
    "DELETE FROM volguard.services AS s WHERE s.service_id {=} $1
     AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id {=} s.service_id)",
);

/// A thousand at most. Passes over services that another cleanup is removing. A service whose work is claimed stays,
/// since a claim may be given back.
pub static REMOVE_OLD_SERVICES: Statement = Statement::new(
    &[INT4OID],
    "DELETE FROM volguard.services AS s WHERE s.service_id {=} ANY (ARRAY(
         SELECT o.service_id FROM volguard.services AS o
         WHERE o.fenced_at {<=} (pg_catalog.clock_timestamp() {-} pg_catalog.make_interval(secs => $1))
           AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id {=} o.service_id)
           AND NOT EXISTS (SELECT FROM volguard.workers AS w
                           WHERE w.status IS NOT NULL AND w.crashed_service_id {=} o.service_id)
         LIMIT 1000 FOR UPDATE SKIP LOCKED))",
);
