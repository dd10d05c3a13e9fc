//! Statements on locks.

use super::{Statement, permitted, removed};
use pgrx::pg_sys::{INT8ARRAYOID, INT8OID, OIDOID, TEXTOID, UUIDARRAYOID};

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

/// The sub-select is hashed, whatever the planner's estimate for `$2` is; `ALL ($2)` would be searched for each row.
pub static RECONCILE: Statement = Statement::new(
    &[INT8OID, INT8ARRAYOID],
    concat!(
        "DELETE FROM volguard.workers AS w
         WHERE w.service_id {=} $1 AND w.crashed_service_id IS NULL
           AND NOT w.token {=} ANY (SELECT pg_catalog.unnest($2)) ",
        removed!()
    ),
);

/// What the requests `$2` of the service `$1` have taken by an acquire. `IS TRUE` keeps the sub-select from becoming a
/// join: it is hashed, and the rows are found by the service.
pub static RELEASE_REQUESTS: Statement = Statement::new(
    &[INT8OID, UUIDARRAYOID],
    concat!(
        "DELETE FROM volguard.workers AS w
         WHERE w.service_id {=} $1 AND w.crashed_service_id IS NULL
           AND (w.request_id {=} ANY (SELECT pg_catalog.unnest($2))) IS TRUE ",
        removed!()
    ),
);

pub static FORCE_RELEASE: Statement =
    Statement::new(&[INT8OID], concat!("DELETE FROM volguard.workers AS w WHERE w.token {=} $1 ", removed!()));

pub static RESET_RESOURCE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.resource_type {=} $1 AND w.resource_id {=} $2 ", removed!()),
);

/// The roles whose services hold locks of a resource.
pub static RESOURCE_OWNERS: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT DISTINCT s.registered_by::pg_catalog.oid
     FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id
     WHERE w.resource_type {=} $1 AND w.resource_id {=} $2",
);

/// The role whose service holds a token.
pub static TOKEN_ROLE: Statement = Statement::new(
    &[INT8OID],
    "SELECT s.registered_by::pg_catalog.oid
     FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id WHERE w.token {=} $1",
);

/// Only under the shared service lock and, if `$2` is given, as head of the work slot's queue.
pub static SET_STATUS: Statement = Statement::new(
    &[INT8OID, TEXTOID],
    "UPDATE volguard.workers AS w
     SET status {:=} $2, updated_at {:=} pg_catalog.clock_timestamp(),
         crashed_service_id {:=} CASE WHEN $2 IS NOT NULL THEN w.crashed_service_id END
     FROM volguard.services AS s
     WHERE w.token {=} $1 AND s.service_id {=} w.service_id AND s.fenced_at IS NULL
       AND ($2 IS NULL OR NOT EXISTS (
           SELECT FROM volguard.workers AS o
           WHERE o.resource_type {=} w.resource_type AND o.resource_id {=} w.resource_id
             AND o.status IS NOT NULL AND o.token {<>} w.token))",
);
