//! Statements on clusters.

use super::Statement;
use pgrx::pg_sys::{BOOLOID, TEXTOID};

/// Nothing if there is no such cluster; a row without a role if it has no services.
pub static CLUSTER_ROLES: Statement = Statement::new(
    &[TEXTOID],
    "SELECT DISTINCT s.registered_by::pg_catalog.oid
     FROM volguard.clusters AS c LEFT JOIN volguard.services AS s ON s.cluster {=} c.name WHERE c.name {=} $1",
);

pub static SET_CLUSTER_DISABLED: Statement = Statement::new(
    &[TEXTOID, BOOLOID, TEXTOID],
    "UPDATE volguard.clusters AS c SET disabled {:=} $2, disabled_reason {:=} $3
     WHERE c.name {=} $1 AND (c.disabled {<>} $2 OR c.disabled_reason IS DISTINCT FROM $3)",
);
