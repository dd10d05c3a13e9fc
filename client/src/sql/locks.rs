//! Services and their locks.

use super::{Executor, Params, only, row, seconds, value};
use crate::error::Error;
use crate::key::{Key, Name};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio_postgres::types::Json;
use uuid::Uuid;

/// The version of the extension in this database.
pub async fn extension_version(client: &impl Executor) -> Result<String, Error> {
    let sql = statement!(extension_version: "SELECT extversion FROM pg_catalog.pg_extension \
        WHERE extname = 'volguard'" =>);
    let rows = client.rows(sql, &[], Duration::ZERO).await?;
    Ok(rows.first().ok_or(Error::ExtensionMissing)?.try_get(0)?)
}

/// Registers an incarnation of a process, and fences the earlier one. Returns its service id.
pub async fn register_service(
    client: &impl Executor,
    host: &str,
    binary_name: &str,
    cluster: Option<&str>,
    lease: Option<Duration>,
    details: Option<&RawValue>,
) -> Result<i64, Error> {
    let sql = statement!(register_service: "SELECT volguard.register_service(host => $1, binary_name => $2, \
        cluster => $3, lease => pg_catalog.make_interval(secs => $4), details => $5)"
        => TEXT, TEXT, TEXT, FLOAT8, JSONB);
    value(client, sql, &[&host, &binary_name, &cluster, &lease.map(seconds), &details.map(Json)]).await
}

/// Renews the lease. Returns its length, which counts from the moment before the call.
pub async fn heartbeat(client: &impl Executor, service_id: i64) -> Result<Duration, Error> {
    // Days have 24 hours here. A lease that was given as days may be an hour shorter, but this crate gives none.
    let sql = statement!(heartbeat: "SELECT EXTRACT(epoch FROM \
        volguard.heartbeat(service_id => $1))::pg_catalog.float8" => INT8);
    let lease = value(client, sql, &[&service_id]).await?;
    Ok(Duration::try_from_secs_f64(lease).unwrap_or(Duration::ZERO))
}

/// Ends a service. Returns how many locks with work in them are left to cleanup.
pub async fn deregister_service(client: &impl Executor, service_id: i64) -> Result<u64, Error> {
    let sql = statement!(deregister_service: "SELECT volguard.deregister_service(service_id => $1)" => INT8);
    value(client, sql, &[&service_id]).await.map(i64::unsigned_abs)
}

/// Releases all locks of the service but these. Returns their number.
pub async fn reconcile(client: &impl Executor, service_id: i64, tokens: &[i64]) -> Result<u64, Error> {
    let sql = statement!(reconcile: "SELECT volguard.reconcile(service_id => $1, tokens => $2)" => INT8, INT8_ARRAY);
    value(client, sql, &[&service_id, &tokens]).await.map(i64::unsigned_abs)
}

/// A living service with the same names that was registered later. It has sent a heartbeat since: one that has not was
/// made by a registration whose answer was lost or not waited for, most likely of this process.
pub(crate) async fn later_incarnation(
    client: &impl Executor,
    service_id: i64,
    host: &str,
    binary_name: &str,
    cluster: &str,
) -> Result<Option<i64>, Error> {
    let sql = statement!(later_incarnation: "SELECT pg_catalog.max(service_id) FROM volguard.service_status \
        WHERE service_id OPERATOR(pg_catalog.>) $1 AND host OPERATOR(pg_catalog.=) $2 \
        AND binary_name OPERATOR(pg_catalog.=) $3 AND (cluster OPERATOR(pg_catalog.=) $4 \
            OR owner OPERATOR(pg_catalog.=) (SELECT s.owner FROM volguard.service_status AS s WHERE s.service_id OPERATOR(pg_catalog.=) $1)) \
        AND state OPERATOR(pg_catalog.=) 'up' AND heartbeat_at OPERATOR(pg_catalog.>) registered_at"
        => INT8, TEXT, TEXT, TEXT);
    value(client, sql, &[&service_id, &host, &binary_name, &cluster]).await
}

/// Takes a lock. Returns its token, or `None` if it was not free in time.
pub async fn acquire(
    client: &impl Executor,
    service_id: i64,
    key: &Key,
    wait: Duration,
    request_id: Option<Uuid>,
) -> Result<Option<i64>, Error> {
    let sql = statement!(acquire: "SELECT volguard.acquire(service_id => $1, resource_type => $2, resource_id => $3, \
        lock_name => $4, status => $5, wait => pg_catalog.make_interval(secs => $6), request_id => $7, details => $8)"
        => INT8, TEXT, TEXT, TEXT, TEXT, FLOAT8, UUID, JSONB);
    let (Name { resource_type, resource_id, lock_name }, status) = (&*key.name, &key.status);
    let (limit, details) = (seconds(wait), key.details_json()?.map(Json));
    let params: Params<'_> =
        &[&service_id, resource_type, resource_id, lock_name, status, &limit, &request_id, &details];
    Ok(only(client.rows(sql, params, wait).await?).try_get(0)?)
}

/// Takes all these locks in one commit, or none. Returns their tokens in the order of `keys`, or `None` if they were
/// not all free in time.
pub async fn acquire_all(
    client: &impl Executor,
    service_id: i64,
    keys: &[Key],
    wait: Duration,
    request_id: Option<Uuid>,
) -> Result<Option<Vec<i64>>, Error> {
    // The rows are in the order of the list; they name the locks as the server spells them.
    let sql = statement!(acquire_all: "SELECT token FROM volguard.acquire_all(service_id => $1, locks => $2, \
        wait => pg_catalog.make_interval(secs => $3), request_id => $4)" => INT8, JSONB, FLOAT8, UUID);
    let entries = keys
        .iter()
        .map(|key| Ok(Entry { name: &key.name, status: key.status.as_deref(), details: key.details_json()? }));
    let locks = Json(entries.collect::<Result<Vec<_>, Error>>()?);
    let rows = client.rows(sql, &[&service_id, &locks, &seconds(wait), &request_id], wait).await?;
    let tokens = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>, Error>>()?;
    Ok((tokens.len() == keys.len()).then_some(tokens))
}

/// An entry of the list for `acquire_all`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    name: &'a Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
}

/// Gives a lock back. Returns `false` if the token was not held.
pub async fn release(client: &impl Executor, token: i64) -> Result<bool, Error> {
    value(client, statement!(release: "SELECT volguard.release(token => $1)" => INT8), &[&token]).await
}

/// Gives many locks back in one commit. Returns how many were held.
pub async fn release_all(client: &impl Executor, tokens: &[i64]) -> Result<u64, Error> {
    let sql = statement!(release_all: "SELECT volguard.release_all(tokens => $1)" => INT8_ARRAY);
    value(client, sql, &[&tokens]).await.map(i64::unsigned_abs)
}

/// Gives back what these requests of the service have taken, by `acquire`, `acquire_all` or `claim_cleanup`. Returns
/// how many locks they held.
pub async fn release_requests(client: &impl Executor, service_id: i64, request_ids: &[Uuid]) -> Result<u64, Error> {
    let sql = statement!(release_requests: "SELECT volguard.release_requests(service_id => $1, \
        request_ids => $2)" => INT8, UUID_ARRAY);
    value(client, sql, &[&service_id, &request_ids]).await.map(i64::unsigned_abs)
}

/// Sets the status of the work under a lock; `None` means that nothing needs cleanup.
pub async fn set_status(client: &impl Executor, token: i64, status: Option<&str>) -> Result<(), Error> {
    // A function that returns void is called in FROM, where its result needs no type.
    let sql = statement!(set_status: "SELECT true FROM volguard.set_status(token => $1, status => $2)" => INT8, TEXT);
    row(client, sql, &[&token, &status]).await.map(drop)
}

/// Fails unless the token is held. It then stays held until the transaction of the call ends.
pub async fn assert_held(client: &impl Executor, token: i64) -> Result<(), Error> {
    let sql = statement!(assert_held: "SELECT true FROM volguard.assert_held(token => $1)" => INT8);
    row(client, sql, &[&token]).await.map(drop)
}
