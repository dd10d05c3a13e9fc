//! Cleanup of what dead services left, and its rules.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::{Duration, SystemTime};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

#[cfg(feature = "admin")]
use super::row;
use super::{Executor, Params, value};
use crate::error::Error;

/// Which dead services to clean up after: all that match every criterion set. Begin with `Cleanup::default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleanup {
    /// Only this service. A service that lives is an error.
    pub service_id: Option<i64>,
    /// Only services of this cluster.
    pub cluster: Option<String>,
    /// Only services on this host.
    pub host: Option<String>,
    /// Only services with this binary name.
    pub binary_name: Option<String>,
    /// Only services of clusters that are disabled, or only of those that are not.
    pub disabled: Option<bool>,
    /// Only resources of this type.
    pub resource_type: Option<String>,
    /// Only the resource with this id.
    pub resource_id: Option<String>,
    /// Only what was last changed before this moment of the *database's* clock, as read from its views.
    pub until: Option<SystemTime>,
}

/// What cleanup did for one dead service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanedService {
    /// The dead service.
    pub service_id: i64,
    /// Its cluster.
    pub cluster: String,
    /// Its host.
    pub host: String,
    /// `cleaned` if nothing is left; `fenced` if its work is yet to be tried; `unavailable` if work waits that no rule
    /// covers, or whose rule failed; `busy` if nothing was done because a transaction has its lock.
    pub state: String,
    /// Plain locks that were dropped.
    pub locks_released: u64,
    /// Resources that a crash rule has repaired.
    pub resources_cleaned: u64,
    /// Resources that had changed since, or were gone: only the work was removed.
    pub resources_stale: u64,
    /// Resources that still wait for a repair.
    pub awaiting: u64,
}

impl CleanedService {
    fn read(row: &Row) -> Result<CleanedService, Error> {
        let count = |column| row.try_get(column).map(i64::unsigned_abs);
        Ok(CleanedService {
            service_id: row.try_get("service_id")?,
            cluster: row.try_get("cluster")?,
            host: row.try_get("host")?,
            state: row.try_get("state")?,
            locks_released: count("locks_released")?,
            resources_cleaned: count("resources_cleaned")?,
            resources_stale: count("resources_stale")?,
            awaiting: count("awaiting")?,
        })
    }
}

impl CleanedService {
    /// Takes what a later round did.
    pub(crate) fn add(&mut self, later: CleanedService) {
        self.locks_released += later.locks_released;
        self.resources_cleaned += later.resources_cleaned;
        self.resources_stale += later.resources_stale;
        self.state = later.state;
        self.awaiting = later.awaiting;
    }
}

/// What one round of a cleanup did, in its own transaction: it fences services and frees their plain locks, or applies
/// crash rules to their work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanupRound {
    /// The services that it did something for, or that are busy.
    pub services: Vec<CleanedService>,
    /// Another round, in another transaction, would do more at once.
    pub more: bool,
}

impl CleanupRound {
    fn read(rows: &[Row]) -> Result<CleanupRound, Error> {
        let mut round = CleanupRound::default();
        for row in rows {
            match row.try_get::<_, Option<i64>>("service_id")? {
                Some(_) => round.services.push(CleanedService::read(row)?),
                None => round.more = true,
            }
        }
        Ok(round)
    }
}

/// One round of a cleanup after dead services. [`Volguard::cleanup`](crate::Volguard::cleanup) does all of them.
pub async fn cleanup(client: &impl Executor, which: &Cleanup) -> Result<CleanupRound, Error> {
    let sql = statement!(cleanup: "SELECT service_id, cluster, host, state, locks_released, resources_cleaned, \
        resources_stale, awaiting FROM volguard.cleanup(service_id => $1, cluster => $2, host => $3, \
        binary_name => $4, disabled => $5, resource_type => $6, resource_id => $7, until => $8)"
        => INT8, TEXT, TEXT, TEXT, BOOL, TEXT, TEXT, TIMESTAMPTZ);
    let Cleanup { service_id, cluster, host, binary_name, disabled, resource_type, resource_id, until } = which;
    let params: Params<'_> = &[service_id, cluster, host, binary_name, disabled, resource_type, resource_id, until];
    CleanupRound::read(&client.rows(sql, params, Duration::ZERO).await?)
}

/// For a periodic task: one round of a cleanup in one cluster or in all. What has failed is tried again after a while.
/// Where `volguard.auto_cleanup` is off it does nothing.
pub async fn auto_cleanup(client: &impl Executor, cluster: Option<&str>) -> Result<CleanupRound, Error> {
    let sql = statement!(auto_cleanup: "SELECT service_id, cluster, host, state, locks_released, resources_cleaned, \
        resources_stale, awaiting FROM volguard.auto_cleanup(cluster => $1)" => TEXT);
    CleanupRound::read(&client.rows(sql, &[&cluster], Duration::ZERO).await?)
}

/// A piece of work that was claimed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimedRow {
    /// The claimer's token, larger than that of the crashed service.
    pub token: i64,
    /// The resource's type.
    pub resource_type: String,
    /// The resource.
    pub resource_id: String,
    /// The name of the lock.
    pub lock_name: String,
    /// What was being done when the service crashed.
    pub status: String,
    /// The service that crashed: the first one, if others have claimed this work since and crashed in turn.
    pub crashed_service_id: i64,
    details: Option<Box<RawValue>>,
}

impl ClaimedRow {
    /// The details that the crashed service gave with its lock, or [`Error::Deserialize`] if they don't fit the type.
    pub fn details<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        Ok(self.details.as_ref().map(|details| serde_json::from_str(details.get())).transpose()?)
    }

    fn read(row: &Row) -> Result<ClaimedRow, Error> {
        Ok(ClaimedRow {
            token: row.try_get("token")?,
            resource_type: row.try_get("resource_type")?,
            resource_id: row.try_get("resource_id")?,
            lock_name: row.try_get("lock_name")?,
            status: row.try_get("status")?,
            crashed_service_id: row.try_get("crashed_service_id")?,
            details: row.try_get::<_, Option<Json<_>>>("details")?.map(|Json(details)| details),
        })
    }
}

/// Which work of the cluster's dead services to claim: what matches every criterion set. Begin with
/// `ClaimFilter::default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimFilter {
    /// Only work on resources of this type.
    pub resource_type: Option<String>,
    /// Only work on the resource with this id.
    pub resource_id: Option<String>,
    /// Only work of dead services on this host.
    pub host: Option<String>,
    /// Only work of dead services with this binary name.
    pub binary_name: Option<String>,
    /// Only work that this dead service has.
    pub crashed_service_id: Option<i64>,
    /// Only work that was acquired by this moment of the *database's* clock, as read from its views.
    pub until: Option<SystemTime>,
}

/// Takes over work of crashed services that no other call is taking or repairing, without waiting.
pub async fn claim_cleanup(
    client: &impl Executor,
    service_id: i64,
    max_rows: i32,
    filter: &ClaimFilter,
    request_id: Option<Uuid>,
) -> Result<Vec<ClaimedRow>, Error> {
    let sql = statement!(claim_cleanup: "SELECT token, resource_type, resource_id, lock_name, status, \
        crashed_service_id, details FROM volguard.claim_cleanup(service_id => $1, max_rows => $2, \
        resource_type => $3, request_id => $4, resource_id => $5, host => $6, binary_name => $7, \
        crashed_service_id => $8, until => $9)" => INT8, INT4, TEXT, UUID, TEXT, TEXT, TEXT, INT8, TIMESTAMPTZ);
    let ClaimFilter { resource_type, resource_id, host, binary_name, crashed_service_id, until } = filter;
    let params: Params<'_> = &[
        &service_id,
        &max_rows,
        resource_type,
        &request_id,
        resource_id,
        host,
        binary_name,
        crashed_service_id,
        until,
    ];
    let rows = client.rows(sql, params, Duration::ZERO).await?;
    rows.iter().map(ClaimedRow::read).collect()
}

/// Ends claimed work of a resource that is cleaned up. Returns `false` if the token was not held.
pub async fn finish_cleanup(client: &impl Executor, token: i64) -> Result<bool, Error> {
    value(client, statement!(finish_cleanup: "SELECT volguard.finish_cleanup(token => $1)" => INT8), &[&token]).await
}

/// Gives claimed work back unchanged. Returns how many of the tokens were held.
pub async fn abandon_cleanup(client: &impl Executor, tokens: &[i64]) -> Result<u64, Error> {
    // In the order of the list, which is the order of the claims.
    let sql = statement!(abandon_cleanup: "SELECT pg_catalog.count(*) FILTER (WHERE \
        volguard.abandon_cleanup(token => claim.token)) FROM pg_catalog.unnest($1) AS claim (token)" => INT8_ARRAY);
    value(client, sql, &[&tokens]).await.map(i64::unsigned_abs)
}

/// Says which table, a name as in SQL, holds the resources of a type, so that crash cleanup can repair its rows. A
/// later call for the same type replaces it. The caller needs the privileges of the table's owner.
#[cfg(feature = "admin")]
pub async fn track_resource(
    client: &impl Executor,
    resource_type: &str,
    table: &str,
    id_column: &str,
    status_column: &str,
) -> Result<(), Error> {
    let sql = statement!(track_resource: "SELECT true FROM volguard.track_resource(resource_type => $1, \
        target => $2::pg_catalog.regclass, id_column => $3, status_column => $4)" => TEXT, TEXT, NAME, NAME);
    row(client, sql, &[&resource_type, &table, &id_column, &status_column]).await.map(drop)
}

/// Forgets a type and its crash rules.
#[cfg(feature = "admin")]
pub async fn untrack_resource(client: &impl Executor, resource_type: &str) -> Result<(), Error> {
    let sql = statement!(untrack_resource: "SELECT true FROM volguard.untrack_resource(resource_type => $1)" => TEXT);
    row(client, sql, &[&resource_type]).await.map(drop)
}

/// Sets a crash rule: what cleanup writes to a tracked resource whose service died while the lock had this status, as a
/// document like the changes of an update. `None` removes the rule: work that crashes in this status then waits.
/// Submitted work goes back into its queue first, after a pause, as often as `retry` says: from 0 to 1000.
#[cfg(feature = "admin")]
pub async fn on_crash(
    client: &impl Executor,
    resource_type: &str,
    status: &str,
    changes: Option<&RawValue>,
    retry: i32,
) -> Result<(), Error> {
    let sql = statement!(on_crash: "SELECT true FROM volguard.on_crash(resource_type => $1, status => $2, \
        changes => $3, retry => $4)" => TEXT, TEXT, JSONB, INT4);
    row(client, sql, &[&resource_type, &status, &changes.map(Json), &retry]).await.map(drop)
}
