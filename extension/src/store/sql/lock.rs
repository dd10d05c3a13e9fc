//! Statements on locks.

use super::{Statement, removed};
use pgrx::pg_sys::{INT8OID, TEXTOID};

/// Not submitted work.
pub static FORCE_RELEASE: Statement = Statement::new(
    &[INT8OID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.token {=} $1 AND w.work_id IS NULL ", removed!()),
);

/// Submitted work that a service has, as a removal returns it. It is locked.
pub static SUBMITTED_HELD: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.cluster, w.resource_type, w.resource_id, w.lock_name, w.status IS NOT NULL, w.token, w.service_id, w.status
     FROM volguard.workers AS w
     WHERE w.token {=} $1 AND w.work_id IS NOT NULL AND w.service_id IS NOT NULL FOR UPDATE",
);

/// The submitted work on a resource, which is locked.
pub static SUBMITTED_ON: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT w.token FROM volguard.workers AS w
     WHERE w.resource_type {=} $1 AND w.resource_id {=} $2 AND w.work_id IS NOT NULL FOR UPDATE",
);

/// The submitted work that a service has.
pub static SUBMITTED_OF: Statement = Statement::new(
    &[INT8OID],
    "SELECT w.token FROM volguard.workers AS w WHERE w.service_id {=} $1 AND w.work_id IS NOT NULL ORDER BY w.token",
);

pub static RESET_RESOURCE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    concat!("DELETE FROM volguard.workers AS w WHERE w.resource_type {=} $1 AND w.resource_id {=} $2 ", removed!()),
);

pub static TOKEN_OF_KEY: Statement = Statement::new(
    &[TEXTOID, TEXTOID, TEXTOID],
    "SELECT w.token FROM volguard.workers AS w
     WHERE w.resource_type {=} $1 AND w.resource_id {=} $2 AND w.lock_name {=} $3",
);
