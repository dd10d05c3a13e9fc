//! Statements on the work of crashed services that live ones take over.

use super::{Statement, lease_over, permitted, removed, sane, sane_lease, work_item};
use pgrx::pg_sys::{BOOLOID, INT8ARRAYOID, INT8OID, OIDOID, TEXTOID, TIMESTAMPTZOID, UUIDOID};

/// The dead services of the cluster of `$1` that have work for it, in the order in which it is to be taken: first what
/// earlier incarnations of `$1` itself have left. If another service has an incarnation that is alive again, what its
/// earlier ones have left is for that one alone, until the lease of the dead one has passed once more since its fence.
/// `$4` to `$7`: only with work on this type and acquired by then, only of this host and name; each NULL for all. `$8`:
/// only of these services, whatever they have, or NULL.
pub static CRASHED_SERVICES: Statement = Statement::new(
    &[INT8OID, OIDOID, BOOLOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8ARRAYOID],
    concat!(
        "SELECT s.service_id
         FROM volguard.services AS c
         CROSS JOIN pg_catalog.clock_timestamp() AS t (now)
         JOIN volguard.services AS s ON s.cluster {=} c.cluster AND s.service_id {<>} c.service_id
         WHERE c.service_id {=} $1 AND (s.fenced_at IS NOT NULL OR ",
        lease_over!("s", "t.now"),
        ") AND ($3 OR ",
        permitted!(),
        ") AND NOT (CASE WHEN s.fenced_at {<} (t.now {-} '8784:00:00'::pg_catalog.interval)
                               OR s.fenced_at {>} (t.now {+} '8784:00:00'::pg_catalog.interval) THEN false
                          WHEN ",
        sane_lease!("s"),
        "                 THEN s.fenced_at {+} s.lease {>} t.now AND s.fenced_at {-} s.lease {<=} t.now
                          ELSE false END AND EXISTS (
               SELECT FROM volguard.services AS n
               WHERE n.cluster {=} s.cluster AND n.owner {=} s.owner AND n.host {=} s.host AND n.binary_name {=} s.binary_name
                 AND n.fenced_at IS NULL AND n.service_id {<>} c.service_id AND ",
        sane!("n"),
        " AND NOT ",
        lease_over!("n", "t.now"),
        ")) AND ($6 IS NULL OR s.host {=} $6) AND ($7 IS NULL OR s.binary_name {=} $7)
           AND ($8 IS NULL OR s.service_id {=} ANY ($8))
           AND ($8 IS NOT NULL OR EXISTS (
               SELECT FROM volguard.workers AS w WHERE w.service_id {=} s.service_id AND ",
        claimable!("$4", "$5"),
        "))
         ORDER BY s.owner {=} c.owner AND s.host {=} c.host AND s.binary_name {=} c.binary_name DESC, s.service_id"
    ),
);

/// Locks those of the services whose lease is over and that aren't fenced, unless another transaction, such as a
/// heartbeat, has the row locked.
pub static LOCK_LATE_SERVICES: Statement = Statement::new(
    &[INT8ARRAYOID],
    concat!(
        "SELECT s.service_id FROM volguard.services AS s WHERE s.service_id {=} ANY ($1) AND s.fenced_at IS NULL AND ",
        lease_over!("s"),
        " FOR UPDATE SKIP LOCKED"
    ),
);

/// Who has work on the resource `$1`, of the type `$2` or of any.
pub static SERVICES_WITH_WORK_ON: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT w.service_id FROM volguard.workers AS w
     WHERE w.resource_id {=} $1 AND w.status IS NOT NULL AND ($2 IS NULL OR w.resource_type {=} $2)",
);

/// Work of a dead service, but for the tokens `$4`, of the type `$2` and acquired by `$5`; both NULL for all. In the
/// order of the tokens, so that what was given back comes last.
pub static CLAIMABLE: Statement = Statement::new(
    &[INT8OID, TEXTOID, INT8OID, INT8ARRAYOID, TIMESTAMPTZOID],
    concat!(
        "SELECT ",
        work_item!(),
        " FROM volguard.workers AS w
         WHERE w.service_id {=} $1 AND NOT w.token {=} ANY ($4) AND ",
        claimable!("$2", "$5"),
        "ORDER BY w.token LIMIT $3"
    ),
);

/// The same of the resource `$6` alone. OFFSET 0: it is found by its key first, however much the service has.
pub static CLAIMABLE_ON: Statement = Statement::new(
    &[INT8OID, TEXTOID, INT8OID, INT8ARRAYOID, TIMESTAMPTZOID, TEXTOID],
    concat!(
        "SELECT ",
        work_item!(),
        " FROM (SELECT o.token, o.resource_type, o.resource_id, o.status, o.service_id, o.awaiting_reason, o.retry_at,
                      o.acquired_at, o.work_id
               FROM volguard.workers AS o WHERE o.resource_id {=} $6 AND o.status IS NOT NULL OFFSET 0) AS w
         WHERE w.service_id {=} $1 AND NOT w.token {=} ANY ($4) AND ",
        claimable!("$2", "$5"),
        "ORDER BY w.token LIMIT $3"
    ),
);

/// Only on rows that are locked. They get the tokens `$3` in place of `$2`. `$4` takes the place of the
/// request id under which the crashed service acquired.
pub static CLAIM: Statement = Statement::new(
    &[INT8OID, INT8ARRAYOID, INT8ARRAYOID, UUIDOID],
    concat!(
        "UPDATE volguard.workers AS w
         SET token {:=} n.token, service_id {:=} $1, crashed_service_id {:=} coalesce(w.crashed_service_id, w.service_id),
             request_id {:=} $4, awaiting_reason {:=} NULL, retry_at {:=} NULL,
             updated_at {:=} pg_catalog.clock_timestamp()
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
    "SELECT w.service_id, w.crashed_service_id IS NOT NULL, s.registered_by::pg_catalog.text
     FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id WHERE w.token {=} $1",
);

/// Only under the claimer's service lock.
pub static FINISH_CLEANUP: Statement = Statement::new(
    &[INT8OID],
    concat!("DELETE FROM volguard.workers AS w USING volguard.services AS s WHERE ", claimed!(), removed!()),
);

/// Gives claims back: the rows `$1` get the tokens `$2`. That kills the claimer's, and puts the work behind all other.
/// Only on rows that one of the next two statements has locked.
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

/// Those of the tokens that are claims, in an order in which rows are locked.
pub static LOCK_CLAIMS: Statement = Statement::new(
    &[INT8ARRAYOID],
    "SELECT w.token FROM volguard.workers AS w
     WHERE w.token {=} ANY ($1) AND w.crashed_service_id IS NOT NULL ORDER BY w.token FOR UPDATE",
);

/// Whether a row is work of the type and acquired by the time of two parameters, NULL for all.
macro_rules! claimable {
    ($resource_type:literal, $until:literal) => {
        concat!(
            "w.status IS NOT NULL AND (",
            $resource_type,
            " IS NULL OR w.resource_type {=} ",
            $resource_type,
            ") AND (",
            $until,
            " IS NULL OR w.acquired_at {<=} ",
            $until,
            ") "
        )
    };
}

/// What a claimer is told of a row.
macro_rules! claim {
    () => {
        "w.token, w.resource_type, w.resource_id, w.lock_name, w.status, w.crashed_service_id, w.details"
    };
}

/// `$1` is the token of a claim whose service `s` isn't fenced.
macro_rules! claimed {
    () => {
        "w.token {=} $1 AND w.crashed_service_id IS NOT NULL AND s.service_id {=} w.service_id AND s.fenced_at IS NULL "
    };
}

use {claim, claimable, claimed};
