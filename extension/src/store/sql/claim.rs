//! Statements on the work of crashed services that live ones take over.

use super::{Statement, lease_over, permitted, removed};
use pgrx::pg_sys::{BOOLOID, INT8ARRAYOID, INT8OID, OIDOID, TEXTOID, UUIDARRAYOID, UUIDOID};

/// The dead services of the cluster of `$1` that have work for it, in the order in which it is to be taken: first what
/// earlier incarnations of `$1` itself have left. If another service has an incarnation that is alive again, what its
/// earlier ones have left is for that one alone, until the lease of the dead one has passed once more since its fence.
pub static CRASHED_SERVICES: Statement = Statement::new(
    &[INT8OID, OIDOID, BOOLOID, TEXTOID],
    concat!(
        "SELECT s.service_id, s.fenced_at IS NOT NULL
         FROM volguard.services AS c
         CROSS JOIN pg_catalog.clock_timestamp() AS t (now)
         JOIN volguard.services AS s ON s.cluster {=} c.cluster AND s.service_id {<>} c.service_id
         WHERE c.service_id {=} $1 AND (s.fenced_at IS NOT NULL OR ",
        lease_over!("s", "t.now"),
        ") AND ($3 OR ",
        permitted!(),
        ") AND NOT (s.fenced_at {+} s.lease {>} t.now AND s.fenced_at {-} s.lease {<=} t.now AND EXISTS (
               SELECT FROM volguard.services AS n
               WHERE n.cluster {=} s.cluster AND n.host {=} s.host AND n.binary_name {=} s.binary_name
                 AND n.fenced_at IS NULL AND n.service_id {<>} c.service_id AND NOT ",
        lease_over!("n", "t.now"),
        ")) AND EXISTS (SELECT FROM volguard.workers AS w WHERE w.service_id {=} s.service_id AND w.status IS NOT NULL
                       AND ($4 IS NULL OR w.resource_type {=} $4))
         ORDER BY s.host {=} c.host AND s.binary_name {=} c.binary_name DESC, s.service_id"
    ),
);

/// Locks a service whose lease is over and that isn't fenced, unless another transaction, such as its heartbeat, has
/// the row locked.
pub static LOCK_LATE_SERVICE: Statement = Statement::new(
    &[INT8OID],
    concat!(
        "SELECT FROM volguard.services AS s WHERE s.service_id {=} $1 AND s.fenced_at IS NULL AND ",
        lease_over!("s"),
        " FOR UPDATE SKIP LOCKED"
    ),
);

/// Locks work of a dead service, but for rows that are locked. In the order of the tokens, so that what was given back
/// comes last.
pub static CLAIMABLE: Statement =
    Statement::new(&[INT8OID, TEXTOID, INT8OID], concat!(claimable!(), "FOR UPDATE SKIP LOCKED"));

/// The same for a test, without the lock.
pub static CLAIMABLE_UNLOCKED: Statement = Statement::new(&[INT8OID, TEXTOID, INT8OID], claimable!());

/// Only on rows that `CLAIMABLE` has locked. They get the tokens `$3` in place of `$2`. `$4` takes the place of the
/// request id under which the crashed service acquired.
pub static CLAIM: Statement = Statement::new(
    &[INT8OID, INT8ARRAYOID, INT8ARRAYOID, UUIDOID],
    concat!(
        "UPDATE volguard.workers AS w
         SET token {:=} n.token, service_id {:=} $1, crashed_service_id {:=} coalesce(w.crashed_service_id, w.service_id),
             request_id {:=} $4, updated_at {:=} pg_catalog.clock_timestamp()
         FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS n (old, token)
         WHERE w.token {=} n.old RETURNING ",
        claim!()
    ),
);

/// What the service `$1` has claimed under the request id `$2` and still holds.
pub static CLAIMED_BY_REQUEST: Statement = Statement::new(
    &[INT8OID, UUIDOID],
    concat!(
        "SELECT ",
        claim!(),
        " FROM volguard.workers AS w
         WHERE w.service_id {=} $1 AND w.request_id {=} $2 AND w.crashed_service_id IS NOT NULL ORDER BY w.token"
    ),
);

/// The service that has a token, whether it is a claim, and the role that registered the service.
pub static CLAIM_OF_TOKEN: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.service_id, w.crashed_service_id IS NOT NULL, s.registered_by::pg_catalog.oid
     FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id WHERE w.token {=} $1",
);

/// Only under the claimer's service lock.
pub static FINISH_CLEANUP: Statement = Statement::new(
    &[INT8OID],
    concat!("DELETE FROM volguard.workers AS w USING volguard.services AS s WHERE ", claimed!(), removed!()),
);

/// Gives claims back: the rows `$1` get the tokens `$2`. That kills the claimer's, and puts the work behind all other.
/// Only on rows that one of the next three statements has locked.
pub static GIVE_BACK: Statement = Statement::new(
    &[INT8ARRAYOID, INT8ARRAYOID],
    concat!(
        "UPDATE volguard.workers AS w
         SET token {:=} n.token, service_id {:=} w.crashed_service_id, crashed_service_id {:=} NULL,
             request_id {:=} NULL, updated_at {:=} pg_catalog.clock_timestamp()
         FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS n (old, token)
         WHERE w.token {=} n.old ",
        removed!()
    ),
);

/// Only under the claimer's service lock.
pub static LOCK_CLAIM: Statement = Statement::new(
    &[INT8OID],
    concat!("SELECT w.token FROM volguard.workers AS w, volguard.services AS s WHERE ", claimed!(), "FOR UPDATE OF w"),
);

/// What the service `$1` has claimed and `$2` doesn't list. See `RECONCILE`.
pub static LOCK_UNKNOWN_CLAIMS: Statement = Statement::new(
    &[INT8OID, INT8ARRAYOID],
    "SELECT w.token FROM volguard.workers AS w
     WHERE w.service_id {=} $1 AND w.crashed_service_id IS NOT NULL
       AND NOT w.token {=} ANY (SELECT pg_catalog.unnest($2))
     ORDER BY w.token FOR UPDATE",
);

/// What the requests `$2` of the service `$1` have claimed. See `RELEASE_REQUESTS`.
pub static LOCK_CLAIMS_OF_REQUESTS: Statement = Statement::new(
    &[INT8OID, UUIDARRAYOID],
    "SELECT w.token FROM volguard.workers AS w
     WHERE w.service_id {=} $1 AND w.crashed_service_id IS NOT NULL
       AND (w.request_id {=} ANY (SELECT pg_catalog.unnest($2))) IS TRUE
     ORDER BY w.token FOR UPDATE",
);

/// What a claimer is told of a row.
macro_rules! claim {
    () => {
        "w.token, w.resource_type, w.resource_id, w.lock_name, w.status, w.crashed_service_id, w.details"
    };
}

macro_rules! claimable {
    () => {
        "SELECT w.token, w.resource_type, w.resource_id, w.status FROM volguard.workers AS w
         WHERE w.service_id {=} $1 AND w.status IS NOT NULL AND ($2 IS NULL OR w.resource_type {=} $2)
         ORDER BY w.token LIMIT $3 "
    };
}

/// `$1` is the token of a claim whose service `s` isn't fenced.
macro_rules! claimed {
    () => {
        "w.token {=} $1 AND w.crashed_service_id IS NOT NULL AND s.service_id {=} w.service_id AND s.fenced_at IS NULL "
    };
}

use {claim, claimable, claimed};
