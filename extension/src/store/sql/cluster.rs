//! Statements on clusters.

use super::Statement;
use pgrx::pg_sys::{BOOLOID, TEXTOID};

pub static ADD_CLUSTER: Statement = Statement::new(
    &[TEXTOID],
    "INSERT INTO volguard.clusters (name) SELECT $1
     WHERE NOT EXISTS (SELECT FROM volguard.clusters WHERE name {=} $1)
     ON CONFLICT DO NOTHING",
);

/// The roles of a cluster's services: no row if there is no such cluster, a row with NULL if it has no services.
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
