//! Statements on submitted work: its queue, its requests and its end.

use super::{Statement, removed};
use pgrx::pg_sys::{INT4OID, INT8ARRAYOID, INT8OID, JSONBOID, NAMEOID, OIDOID, TEXTARRAYOID, TEXTOID, UUIDOID};

/// The work that was submitted under the request id `$1` by the role `$2`, whether or not it has ended.
pub static SUBMITTED: Statement = Statement::new(
    &[UUIDOID, NAMEOID],
    "SELECT w.work_id, w.resource_type, w.resource_id FROM volguard.workers AS w
     WHERE w.submit_request {=} $1 AND w.submitted_by {=} $2
     UNION ALL
     SELECT e.work_id, e.resource_type, e.resource_id FROM volguard.ended_requests AS e
     WHERE e.request_id {=} $1 AND e.submitted_by {=} $2",
);

/// Notes how submitted work ends, `$2`, before its rows, with the tokens `$1`, are deleted. The rows are found by their
/// tokens first: planned for a small table, the whole index of the requests would be read.
pub static END_REQUESTS: Statement = Statement::new(
    &[INT8ARRAYOID, TEXTOID],
    "WITH ended AS MATERIALIZED (
         SELECT w.submit_request, w.submitted_by, w.work_id, w.resource_type, w.resource_id
         FROM volguard.workers AS w WHERE w.token {=} ANY ($1))
     INSERT INTO volguard.ended_requests (request_id, submitted_by, work_id, resource_type, resource_id, outcome, ended_at)
     SELECT w.submit_request, w.submitted_by, w.work_id, w.resource_type, w.resource_id, $2, pg_catalog.clock_timestamp()
     FROM ended AS w WHERE w.submit_request IS NOT NULL ON CONFLICT DO NOTHING",
);

/// Removes at most `$2` requests that ended more than `$1` seconds ago. Passes over rows that are locked.
pub static TRIM_REQUESTS: Statement = Statement::new(
    &[INT4OID, INT4OID],
    "DELETE FROM volguard.ended_requests AS e WHERE e.ctid {=} ANY (ARRAY(
         SELECT o.ctid FROM volguard.ended_requests AS o
         WHERE o.ended_at {<=} (pg_catalog.clock_timestamp() {-} pg_catalog.make_interval(secs => $1))
         ORDER BY o.ended_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
);

/// For a test: all hosts that work waits for.
pub static ALL_HOSTS: Statement =
    Statement::new(&[], "SELECT w.host FROM volguard.workers AS w WHERE w.service_id IS NULL GROUP BY w.host");

/// Puts submitted work back into the queue: the rows with the tokens `$1`. Their tokens die with that.
pub static PUT_BACK: Statement = Statement::new(
    &[INT8ARRAYOID],
    "UPDATE volguard.workers AS w
     SET token {:=} w.work_id, service_id {:=} NULL, crashed_service_id {:=} NULL, request_id {:=} NULL,
         awaiting_reason {:=} NULL, retry_at {:=} NULL, not_before {:=} t.now, acquired_at {:=} t.now, updated_at {:=} t.now
     FROM pg_catalog.clock_timestamp() AS t (now)
     WHERE w.token {=} ANY ($1) AND w.work_id IS NOT NULL AND w.service_id IS NOT NULL
     RETURNING w.cluster, w.host, w.resource_type, w.operation",
);

/// Puts submitted work of dead services, the tokens `$1`, back into its queue, if its crash rule says that it is to be
/// tried again: after a pause, which doubles each time, up to ten minutes. Passes over rows that are locked.
pub static RETRY: Statement = Statement::new(
    &[INT8ARRAYOID],
    "WITH before AS (
         SELECT w.token, w.service_id, w.status, coalesce(w.crashed_service_id, w.service_id) AS crashed,
             pg_catalog.power(2::pg_catalog.float8, LEAST(w.attempt, 11) {-} 1) AS pause
         FROM volguard.workers AS w
         JOIN volguard.services AS s ON s.service_id {=} w.service_id
         JOIN volguard.crash_rules AS k ON k.resource_type {=} w.resource_type AND k.status {=} w.status
         WHERE w.token {=} ANY ($1) AND w.work_id IS NOT NULL AND w.attempt {<=} k.retry AND s.fenced_at IS NOT NULL
         FOR UPDATE OF w SKIP LOCKED
     )
     UPDATE volguard.workers AS w
     SET token {:=} w.work_id, service_id {:=} NULL, crashed_service_id {:=} NULL, request_id {:=} NULL,
         awaiting_reason {:=} NULL, retry_at {:=} NULL, attempt {:=} w.attempt {+} 1, retried_from {:=} b.crashed,
         not_before {:=} t.now {+} pg_catalog.make_interval(secs => LEAST(b.pause, 600)), acquired_at {:=} t.now,
         updated_at {:=} t.now
     FROM before AS b, pg_catalog.clock_timestamp() AS t (now) WHERE w.token {=} b.token
     RETURNING w.cluster, w.host, w.resource_type, w.operation, b.token, b.service_id, b.status",
);

/// Locks submitted work that a service has. Its cluster.
pub static LOCK_SUBMITTED: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.cluster FROM volguard.workers AS w WHERE w.token {=} $1 AND w.work_id IS NOT NULL FOR UPDATE",
);

/// Puts it into the queue of the cluster `$2`, for the host `$3`, as the operation `$4`, with the status `$5` and the
/// details `$6`, each NULL for what it has.
pub static PASS: Statement = Statement::new(
    &[INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID],
    "UPDATE volguard.workers AS w
     SET token {:=} w.work_id, service_id {:=} NULL, crashed_service_id {:=} NULL, request_id {:=} NULL,
         awaiting_reason {:=} NULL, retry_at {:=} NULL, cluster {:=} $2, host {:=} $3, operation {:=} $4,
         status {:=} coalesce($5, w.status), details {:=} coalesce($6, w.details), attempt {:=} 1, retried_from {:=} NULL,
         not_before {:=} t.now, acquired_at {:=} t.now, updated_at {:=} t.now
     FROM pg_catalog.clock_timestamp() AS t (now) WHERE w.token {=} $1",
);

/// Submitted work that waits: its type, the id of its resource, its cluster, and by which role it was submitted.
pub static WAITING: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.resource_type, w.resource_id, w.cluster, w.submitted_by::pg_catalog.text
     FROM volguard.workers AS w WHERE w.work_id {=} $1 AND w.service_id IS NULL",
);

pub static CANCEL: Statement = Statement::new(
    &[INT8OID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.work_id {=} $1 AND w.service_id IS NULL ", removed!()),
);

/// The roles that may submit to the cluster `$1`, beside its owner.
pub static SUBMITTERS: Statement =
    Statement::new(&[TEXTOID], "SELECT s.role::pg_catalog.text FROM volguard.submitters AS s WHERE s.cluster {=} $1");

pub static ADD_SUBMITTER: Statement = Statement::new(
    &[TEXTOID, NAMEOID],
    "INSERT INTO volguard.submitters (cluster, role) VALUES ($1, $2) ON CONFLICT DO NOTHING",
);

pub static REMOVE_SUBMITTER: Statement = Statement::new(
    &[TEXTOID, NAMEOID],
    "DELETE FROM volguard.submitters AS s WHERE s.cluster {=} $1 AND s.role {=} $2",
);

/// Of those of the clusters that are gone.
pub static REMOVE_SUBMITTERS: Statement = Statement::new(
    &[TEXTARRAYOID],
    "DELETE FROM volguard.submitters AS s WHERE s.cluster {=} ANY ($1)
       AND NOT EXISTS (SELECT FROM volguard.clusters AS c WHERE c.name {=} s.cluster)",
);

/// Whether the role `$1` may do what operators do.
pub static IS_OPERATOR: Statement = Statement::new(
    &[OIDOID],
    "SELECT pg_catalog.has_function_privilege($1, 'volguard.reset_resource(text, text)', 'EXECUTE')",
);
