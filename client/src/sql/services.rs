//! Services and their heartbeats.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio_postgres::types::Json;

use super::{Executor, seconds, value};
use crate::error::Error;

/// The version of the extension in this database.
pub async fn extension_version(client: &impl Executor) -> Result<String, Error> {
    let sql = statement!("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'volguard'" =>);
    let rows = client.rows(sql, &[]).await?;
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
    let sql = statement!("SELECT volguard.register_service(host => $1, binary_name => $2, cluster => $3, \
        lease => pg_catalog.make_interval(secs => $4), details => $5)" => TEXT, TEXT, TEXT, FLOAT8, JSONB);
    value(client, sql, &[&host, &binary_name, &cluster, &lease.map(seconds), &details.map(Json)]).await
}

/// Renews the lease. Returns its length, which counts from the moment before the call.
pub async fn heartbeat(client: &impl Executor, service_id: i64) -> Result<Duration, Error> {
    // Days have 24 hours here. A lease that was given as days may be an hour shorter, but this crate gives none.
    let sql = statement!("SELECT EXTRACT(epoch FROM volguard.heartbeat(service_id => $1))::pg_catalog.float8" => INT8);
    let lease = value(client, sql, &[&service_id]).await?;
    Ok(Duration::try_from_secs_f64(lease).unwrap_or(Duration::ZERO))
}

/// Ends a service. Returns how many locks with work in them are left to cleanup.
pub async fn deregister_service(client: &impl Executor, service_id: i64) -> Result<u64, Error> {
    let sql = statement!("SELECT volguard.deregister_service(service_id => $1)" => INT8);
    value(client, sql, &[&service_id]).await.map(i64::unsigned_abs)
}

/// Releases all locks of the service but these. Returns their number.
pub async fn reconcile(client: &impl Executor, service_id: i64, tokens: &[i64]) -> Result<u64, Error> {
    let sql = statement!("SELECT volguard.reconcile(service_id => $1, tokens => $2)" => INT8, INT8_ARRAY);
    value(client, sql, &[&service_id, &tokens]).await.map(i64::unsigned_abs)
}

/// A living service with the same names that was registered later.
pub(crate) async fn later_incarnation(
    client: &impl Executor,
    service_id: i64,
    host: &str,
    binary_name: &str,
    cluster: Option<&str>,
) -> Result<Option<i64>, Error> {
    let sql = statement!("SELECT pg_catalog.max(service_id) FROM volguard.service_status \
        WHERE service_id OPERATOR(pg_catalog.>) $1 AND host OPERATOR(pg_catalog.=) $2 \
        AND binary_name OPERATOR(pg_catalog.=) $3 AND cluster OPERATOR(pg_catalog.=) coalesce($4, 'default') \
        AND state OPERATOR(pg_catalog.=) 'up'" => INT8, TEXT, TEXT, TEXT);
    value(client, sql, &[&service_id, &host, &binary_name, &cluster]).await
}
