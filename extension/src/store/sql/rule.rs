//! Statements on tracked resources and crash rules, and on what the catalog says about their tables.

use super::{Statement, lease_over};
use pgrx::pg_sys::{BOOLOID, INT4OID, JSONBOID, NAMEOID, OIDOID, TEXTOID};

/// Whether the caller `$caller` has the privileges of the owner of the table of a type `r`. A type whose table is gone
/// has no owner.
macro_rules! of_owner {
    ($caller:literal) => {
        concat!(
            "coalesce((SELECT pg_catalog.pg_has_role(",
            $caller,
            ", c.relowner, 'USAGE') FROM pg_catalog.pg_class AS c WHERE c.oid {=} r.target), true)"
        )
    };
}

pub static TRACK_RESOURCE: Statement = Statement::new(
    &[TEXTOID, OIDOID, NAMEOID, NAMEOID, OIDOID, OIDOID],
    concat!(
        "INSERT INTO volguard.resources AS r (resource_type, target, id_column, status_column, id_type)
         VALUES ($1, $2::pg_catalog.regclass, $3, $4, $6::pg_catalog.regtype)
         ON CONFLICT (resource_type) DO UPDATE
         SET target {:=} excluded.target, id_column {:=} excluded.id_column, status_column {:=} excluded.status_column,
             id_type {:=} excluded.id_type
         WHERE ",
        of_owner!("$5")
    ),
);

pub static UNTRACK_RESOURCE: Statement = Statement::new(
    &[TEXTOID, OIDOID],
    concat!("DELETE FROM volguard.resources AS r WHERE r.resource_type {=} $1 AND ", of_owner!("$2")),
);

/// Of a type that is tracked in that table, which belongs to the caller `$7`, or (for a test) with `$8` of any type.
/// The row of the type is locked, so that it stays so.
pub static SET_RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, JSONBOID, OIDOID, NAMEOID, TEXTOID, OIDOID, BOOLOID, INT4OID],
    concat!(
        "INSERT INTO volguard.crash_rules AS s (resource_type, status, changes, target, owner, search_path, retry)
         SELECT $1, $2, $3, $4::pg_catalog.regclass, $5, $6, $9 FROM volguard.resources AS r
         WHERE r.resource_type {=} $1 AND ($8 OR r.target {=} $4 AND ",
        of_owner!("$7"),
        ") FOR SHARE OF r
         ON CONFLICT (resource_type, status) DO UPDATE
         SET changes {:=} excluded.changes, target {:=} excluded.target, owner {:=} excluded.owner,
             search_path {:=} excluded.search_path, retry {:=} excluded.retry"
    ),
);

pub static DROP_RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID, OIDOID],
    concat!(
        "DELETE FROM volguard.crash_rules AS s
         WHERE s.resource_type {=} $1 AND s.status {=} $2
           AND EXISTS (SELECT FROM volguard.resources AS r WHERE r.resource_type {=} $1 AND ",
        of_owner!("$3"),
        ")"
    ),
);

/// Work that waits for a rule is due, but for rows that are locked.
pub static TRY_AT_ONCE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    concat!(
        "UPDATE volguard.workers AS w SET retry_at {:=} NULL, awaiting_reason {:=} NULL
         WHERE w.ctid {=} ANY (ARRAY(
             SELECT w.ctid FROM volguard.workers AS w JOIN volguard.services AS s ON s.service_id {=} w.service_id
             WHERE w.resource_type {=} $1 AND w.status {=} $2 AND w.retry_at IS NOT NULL
               AND (s.fenced_at IS NOT NULL OR ",
        lease_over!("s"),
        ") FOR UPDATE OF w SKIP LOCKED))"
    ),
);

pub static RULE: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT r.changes, r.target::pg_catalog.oid, r.owner, r.search_path
     FROM volguard.crash_rules AS r WHERE r.resource_type {=} $1 AND r.status {=} $2",
);
