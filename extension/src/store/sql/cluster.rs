//! Statements on clusters.

use super::Statement;
use pgrx::pg_sys::{BOOLOID, OIDOID, TEXTARRAYOID, TEXTOID};

/// The owner of a cluster, which stays the owner until the transaction ends. No row if there is no such cluster.
pub static ENTER_CLUSTER: Statement = Statement::new(
    &[TEXTOID],
    "SELECT c.owner::pg_catalog.text FROM volguard.clusters AS c WHERE c.name {=} $1 FOR KEY SHARE",
);

/// `$2`: its owner, or NULL.
pub static ADD_CLUSTER: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "INSERT INTO volguard.clusters (name, owner) VALUES ($1, $2) ON CONFLICT DO NOTHING",
);

/// Waits for registrations in the cluster, and keeps new ones out. See `ENTER_CLUSTER`.
pub static CLOSE_CLUSTER: Statement = Statement::new(
    &[TEXTOID],
    "SELECT c.owner::pg_catalog.text, c.owner_named FROM volguard.clusters AS c WHERE c.name {=} $1 FOR UPDATE",
);

/// Only after `CLOSE_CLUSTER`.
pub static SET_CLUSTER_OWNER: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "UPDATE volguard.clusters AS c SET owner {:=} $2, owner_named {:=} true WHERE c.name {=} $1",
);

/// The services of the cluster `$1` that aren't fenced and don't belong to `$2`, in the order in which their locks are
/// taken. With a NULL for `$2` all that aren't fenced.
pub static SERVICES_OF_OTHERS: Statement = Statement::new(
    &[TEXTOID, TEXTOID],
    "SELECT s.service_id FROM volguard.services AS s
     WHERE s.cluster {=} $1 AND s.fenced_at IS NULL AND ($2 IS NULL OR s.owner {<>} $2::pg_catalog.name)
     ORDER BY s.service_id",
);

/// Whether a service of the cluster has rows in `workers`, or work that is claimed.
pub static CLUSTER_HAS_ROWS: Statement = Statement::new(
    &[TEXTOID],
    "SELECT EXISTS (SELECT FROM volguard.services AS s JOIN volguard.workers AS w ON w.service_id {=} s.service_id
                    WHERE s.cluster {=} $1)",
);

/// Whether work waits for a service of the cluster.
pub static CLUSTER_HAS_WORK: Statement = Statement::new(
    &[TEXTOID],
    "SELECT EXISTS (SELECT FROM volguard.workers AS w WHERE w.cluster {=} $1 AND w.service_id IS NULL)",
);

pub static REMOVE_SERVICES_OF_CLUSTER: Statement =
    Statement::new(&[TEXTOID], "DELETE FROM volguard.services AS s WHERE s.cluster {=} $1");

/// Only after `CLOSE_CLUSTER`.
pub static REMOVE_CLUSTER: Statement =
    Statement::new(&[TEXTOID], "DELETE FROM volguard.clusters AS c WHERE c.name {=} $1");

/// Locks clusters without services, as far as no registration or cleanup has them locked: that of `$1`, or, if it is
/// NULL, the first thousand. Only those whose owners the role `$2` may act for, or, with `$3`, of all owners.
pub static LOCK_EMPTY_CLUSTERS: Statement = Statement::new(
    &[TEXTOID, OIDOID, BOOLOID],
    "SELECT c.name FROM volguard.clusters AS c
     WHERE c.owner IS NOT NULL AND NOT c.owner_named AND NOT c.disabled AND ($1 IS NULL OR c.name {=} $1)
       AND ($3 OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                          WHERE r.rolname {=} c.owner AND pg_catalog.pg_has_role($2, r.oid, 'USAGE')))
       AND NOT EXISTS (SELECT FROM volguard.services AS s WHERE s.cluster {=} c.name)
       AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.cluster {=} c.name AND w.service_id IS NULL)
     LIMIT 1000 FOR UPDATE OF c SKIP LOCKED",
);

/// Only clusters that `LOCK_EMPTY_CLUSTERS` has locked, and whose queues are closed. A registration, or work, may have
/// come in between the look and the lock: it is visible now.
pub static REMOVE_EMPTY_CLUSTERS: Statement = Statement::new(
    &[TEXTARRAYOID],
    "DELETE FROM volguard.clusters AS c WHERE c.name {=} ANY ($1) AND NOT c.owner_named AND NOT c.disabled
       AND NOT EXISTS (SELECT FROM volguard.services AS s WHERE s.cluster {=} c.name)
       AND NOT EXISTS (SELECT FROM volguard.workers AS w WHERE w.cluster {=} c.name AND w.service_id IS NULL)",
);

pub static SET_CLUSTER_DISABLED: Statement = Statement::new(
    &[TEXTOID, BOOLOID, TEXTOID],
    "UPDATE volguard.clusters AS c SET disabled {:=} $2, disabled_reason {:=} $3
     WHERE c.name {=} $1
       AND (c.disabled {<>} $2 OR (c.disabled_reason IS NULL) {<>} ($3 IS NULL) OR c.disabled_reason {<>} $3)",
);
