//! Updates, and work: a lock and the status of its resource, which change together.

use super::{Executor, Params, only, row, seconds};
use crate::key::{Key, Name};
use crate::{Error, UpdateOutcome, UpdatedRow, WorkOutcome};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio_postgres::types::Json;
use uuid::Uuid;

/// The documents of an update, as they are sent. Made by hand, or by
/// [`ConditionalUpdate::documents`](crate::ConditionalUpdate::documents).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Documents {
    /// The columns that identify the row, and their values. Not for work, whose row is that of the resource.
    pub key: Box<RawValue>,
    /// What the columns are set to.
    pub changes: Box<RawValue>,
    /// The conditions on columns.
    pub expected: Box<RawValue>,
    /// A filter.
    pub filter: Option<Box<RawValue>>,
    /// A condition in SQL, over `target`. Never put data from outside into it.
    pub filter_sql: Option<String>,
    /// Columns and SQL expressions over `target` that they are set to. Never put data from outside into it.
    pub changes_sql: Option<Box<RawValue>>,
    /// For work: the table that the resource must be tracked in, a name as in SQL. An update has its table beside the
    /// documents.
    pub target: Option<String>,
}

impl Default for Documents {
    /// Empty documents: no key, no changes, no conditions.
    fn default() -> Documents {
        let [key, changes, expected] =
            [(); 3].map(|()| RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"));
        Documents { key, changes, expected, filter: None, filter_sql: None, changes_sql: None, target: None }
    }
}

/// Changes one row of `target`, a table's name as in SQL, if all conditions hold and `fence`, if given, is held.
pub async fn conditional_update(
    client: &impl Executor,
    target: &str,
    documents: &Documents,
    fence: Option<i64>,
) -> Result<UpdateOutcome, Error> {
    // The function is called in a select list: in FROM, its row would be stored before it is read. It is called once,
    // because a subquery that calls a volatile function is never merged into the query around it.
    let sql = statement!(conditional_update: "SELECT (once.result).outcome, (once.result).new_row, \
        (once.result).unmet FROM (SELECT volguard.conditional_update(key => $1, changes => $2, expected => $3, \
        filter => $4, filter_sql => $5, changes_sql => $6, target => $7::pg_catalog.regclass, fence => $8) AS result) \
        AS once"
        => JSONB, JSONB, JSONB, JSONB, TEXT, JSONB, TEXT, INT8);
    let Documents { key, changes, expected, filter, filter_sql, changes_sql, target: _ } = documents;
    let (key, changes, expected) = (Json(key), Json(changes), Json(expected));
    let (filter, changes_sql) = (filter.as_ref().map(Json), changes_sql.as_ref().map(Json));
    let params: Params<'_> = &[&key, &changes, &expected, &filter, filter_sql, &changes_sql, &target, &fence];
    UpdateOutcome::read(&row(client, sql, params).await?)
}

/// Takes the lock of a tracked resource and changes its row, both or neither. Returns the token and the new row. The
/// key of `documents` is not used.
pub async fn start_work(
    client: &impl Executor,
    service_id: i64,
    key: &Key,
    documents: &Documents,
    wait: Duration,
    request_id: Option<Uuid>,
) -> Result<WorkOutcome<(i64, UpdatedRow)>, Error> {
    let sql = statement!(start_work: "SELECT (once.result).token, (once.result).outcome, (once.result).new_row, \
        (once.result).unmet FROM (SELECT volguard.start_work(service_id => $1, resource_type => $2, \
        resource_id => $3, lock_name => $4, changes => $5, expected => $6, filter => $7, \
        wait => pg_catalog.make_interval(secs => $8), request_id => $9, target => $10::pg_catalog.regclass, \
        filter_sql => $11, changes_sql => $12) AS result) AS once"
        => INT8, TEXT, TEXT, TEXT, JSONB, JSONB, JSONB, FLOAT8, UUID, TEXT, TEXT, JSONB);
    let Name { resource_type: kind, resource_id: id, lock_name } = &*key.name;
    let (changes, expected) = (Json(&documents.changes), Json(&documents.expected));
    let (filter, changes_sql) = (documents.filter.as_ref().map(Json), documents.changes_sql.as_ref().map(Json));
    let Documents { target, filter_sql, .. } = documents;
    let limit = seconds(wait);
    let params: Params<'_> = &[
        &service_id,
        kind,
        id,
        lock_name,
        &changes,
        &expected,
        &filter,
        &limit,
        &request_id,
        target,
        filter_sql,
        &changes_sql,
    ];
    WorkOutcome::read(&only(client.rows(sql, params, wait).await?))
}

/// Writes the final state of a resource and frees its lock, both or neither. `target` is the table that the resource
/// must be tracked in, a name as in SQL; a superuser must name one whose owner is none.
pub async fn finish_work(
    client: &impl Executor,
    token: i64,
    changes: &RawValue,
    target: Option<&str>,
) -> Result<UpdateOutcome, Error> {
    let sql = statement!(finish_work: "SELECT (once.result).outcome, (once.result).new_row, \
        (once.result).unmet FROM (SELECT volguard.finish_work(token => $1, changes => $2, \
        target => $3::pg_catalog.regclass) AS result) AS once"
        => INT8, JSONB, TEXT);
    UpdateOutcome::read(&row(client, sql, &[&token, &Json(changes), &target]).await?)
}
