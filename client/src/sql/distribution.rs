//! Work for whichever service of a cluster is free: submit, take, pass on, cancel.

use super::{Executor, Params, row, seconds};
use crate::key::{Key, Name};
use crate::{Error, UpdateOutcome, UpdatedRow, WorkOutcome, sql::Documents};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::{Duration, SystemTime};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

/// How work is to be done. Begin with `Submission::default()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Submission {
    /// What is to be done: services may ask for certain operations.
    pub operation: Option<String>,
    /// The only host that may do it.
    pub host: Option<String>,
    /// Work of a larger one goes first; from -100 to 100.
    pub priority: i32,
    /// When it may be taken; `None` for at once.
    pub due: Option<Due>,
    /// A repeated call with this id, by the same role, gets the work that the first one submitted.
    pub request_id: Option<Uuid>,
}

/// When work may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// So long after the call, by the database's clock.
    After(Duration),
    /// At this moment of the *database's* clock.
    At(SystemTime),
}

/// Changes the row of a tracked resource and queues work on it for the services of a cluster, both or neither. Returns
/// the number of the work and the new row. Of `key`, the status is not used, nor is the key of `documents`.
pub async fn submit_work(
    client: &impl Executor,
    cluster: &str,
    key: &Key,
    documents: &Documents,
    how: &Submission,
) -> Result<WorkOutcome<(i64, UpdatedRow)>, Error> {
    let sql = statement!(submit_work: "SELECT (once.result).token, (once.result).outcome, (once.result).new_row, \
        (once.result).unmet FROM (SELECT volguard.submit_work(cluster => $1, resource_type => $2, resource_id => $3, \
        lock_name => $4, details => $5, changes => $6, expected => $7, filter => $8, filter_sql => $9, \
        changes_sql => $10, target => $11::pg_catalog.regclass, operation => $12, host => $13, request_id => $14, \
        priority => $15, not_before => coalesce($16, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) \
            pg_catalog.make_interval(secs => $17))) AS result) AS once"
        => TEXT, TEXT, TEXT, TEXT, JSONB, JSONB, JSONB, JSONB, TEXT, JSONB, TEXT, TEXT, TEXT, UUID, INT4, TIMESTAMPTZ,
            FLOAT8);
    let Name { resource_type, resource_id, lock_name } = &*key.name;
    let Documents { key: _, changes, expected, filter, filter_sql, changes_sql, target } = documents;
    let Submission { operation, host, priority, due, request_id } = how;
    let (at, after) = match *due {
        None => (None, None),
        Some(Due::At(moment)) => (Some(moment), None),
        Some(Due::After(time)) => (None, Some(seconds(time))),
    };
    let (details, changes, expected) = (key.details_json()?.map(Json), Json(changes), Json(expected));
    let (filter, changes_sql) = (filter.as_ref().map(Json), changes_sql.as_ref().map(Json));
    let params: Params<'_> = &[
        &cluster,
        resource_type,
        resource_id,
        lock_name,
        &details,
        &changes,
        &expected,
        &filter,
        filter_sql,
        &changes_sql,
        target,
        operation,
        host,
        request_id,
        priority,
        &at,
        &after,
    ];
    WorkOutcome::read(&row(client, sql, params).await?)
}

/// Takes work out of the queue while it waits, and changes the row of its resource, both or neither; without `changes`
/// only the work goes. `target` is the table that the resource must be tracked in, a name as in SQL; a superuser must
/// name one whose owner is none. [`UpdateOutcome::Fenced`]: it does not wait, because a service has it or it has ended.
pub async fn cancel_work(
    client: &impl Executor,
    work_id: i64,
    changes: Option<&RawValue>,
    target: Option<&str>,
) -> Result<UpdateOutcome, Error> {
    let sql = statement!(cancel_work: "SELECT (once.result).outcome, (once.result).new_row, \
        (once.result).unmet FROM (SELECT volguard.cancel_work(work_id => $1, changes => $2, \
        target => $3::pg_catalog.regclass) AS result) AS once" => INT8, JSONB, TEXT);
    UpdateOutcome::read(&row(client, sql, &[&work_id, &changes.map(Json), &target]).await?)
}

/// A piece of submitted work that a service has got.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TakenRow {
    /// The token of the lock, larger than the number of the work and every earlier token of it.
    pub token: i64,
    /// The number of the work, for good.
    pub work_id: i64,
    /// The resource's type.
    pub resource_type: String,
    /// The resource.
    pub resource_id: String,
    /// The name of the lock.
    pub lock_name: String,
    /// The status of the work: that of the resource when it was submitted or passed on.
    pub status: String,
    /// What is to be done, as submitted.
    pub operation: Option<String>,
    /// 1 at first; one more each time that a service crashed in the middle of it and its crash rule had it retried.
    pub attempt: u32,
    /// The service that crashed in the middle of the last attempt.
    pub crashed_service_id: Option<i64>,
    details: Option<Box<RawValue>>,
}

impl TakenRow {
    /// The details that the work was submitted with, or [`Error::Deserialize`] if they don't fit the type.
    pub fn details<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        Ok(self.details.as_ref().map(|details| serde_json::from_str(details.get())).transpose()?)
    }

    fn read(row: &Row) -> Result<TakenRow, Error> {
        Ok(TakenRow {
            token: row.try_get("token")?,
            work_id: row.try_get("work_id")?,
            resource_type: row.try_get("resource_type")?,
            resource_id: row.try_get("resource_id")?,
            lock_name: row.try_get("lock_name")?,
            status: row.try_get("status")?,
            operation: row.try_get("operation")?,
            attempt: row.try_get::<_, i32>("attempt")?.unsigned_abs(),
            crashed_service_id: row.try_get("crashed_service_id")?,
            details: row.try_get::<_, Option<Json<_>>>("details")?.map(|Json(details)| details),
        })
    }
}

/// Takes submitted work that waits in the cluster of the service, each piece by one service only. Without `operations`
/// any; 16 of them at most. It waits for work for so long, 30 seconds at most.
/// A repeated call with the same request id gets what the first one got and the service still has;
/// [`release_requests`](super::release_requests) puts that back.
pub async fn next_work(
    client: &impl Executor,
    service_id: i64,
    max_rows: i32,
    resource_type: Option<&str>,
    operations: Option<&[String]>,
    wait: Duration,
    request_id: Option<Uuid>,
) -> Result<Vec<TakenRow>, Error> {
    let sql = statement!(next_work: "SELECT token, work_id, resource_type, resource_id, lock_name, status, operation, \
        attempt, crashed_service_id, details FROM volguard.next_work(service_id => $1, max_rows => $2, \
        resource_type => $3, operations => $4, wait => pg_catalog.make_interval(secs => $5), request_id => $6)"
        => INT8, INT4, TEXT, TEXT_ARRAY, FLOAT8, UUID);
    let limit = seconds(wait);
    let params: Params<'_> = &[&service_id, &max_rows, &resource_type, &operations, &limit, &request_id];
    client.rows(sql, params, wait).await?.iter().map(TakenRow::read).collect()
}

/// Where work goes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passing {
    /// What is to be done next.
    pub operation: String,
    /// The cluster of the next service; `None` for the same.
    pub cluster: Option<String>,
    /// The only host that may take it.
    pub host: Option<String>,
}

/// Puts submitted work that the service has back into a queue, for the next step elsewhere, and changes the row of its
/// resource, both or neither. Without `details` it keeps those that it has. `target` is as for [`cancel_work`].
pub async fn pass_work(
    client: &impl Executor,
    token: i64,
    to: &Passing,
    changes: &RawValue,
    details: Option<&RawValue>,
    target: Option<&str>,
) -> Result<UpdateOutcome, Error> {
    let sql = statement!(pass_work: "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet \
        FROM (SELECT volguard.pass_work(token => $1, operation => $2, cluster => $3, host => $4, changes => $5, \
        details => $6, target => $7::pg_catalog.regclass) AS result) AS once"
        => INT8, TEXT, TEXT, TEXT, JSONB, JSONB, TEXT);
    let Passing { operation, cluster, host } = to;
    let (changes, details) = (Json(changes), details.map(Json));
    let params: Params<'_> = &[&token, operation, cluster, host, &changes, &details, &target];
    UpdateOutcome::read(&row(client, sql, params).await?)
}
