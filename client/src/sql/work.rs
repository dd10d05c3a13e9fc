//! Updates, and work: a lock and the status of its resource, which change together.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::executor::statement;
use super::{Executor, seconds};
use crate::error::Error;
use crate::granted::WorkOutcome;
use crate::key::{Key, Name};
use crate::outcome::{UpdateOutcome, UpdatedRow};

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
}

impl Default for Documents {
    /// Empty documents: no key, no changes, no conditions.
    fn default() -> Documents {
        let empty = || RawValue::from_string("{}".to_owned()).expect("an empty object is JSON");
        Documents {
            key: empty(),
            changes: empty(),
            expected: empty(),
            filter: None,
            filter_sql: None,
            changes_sql: None,
        }
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
    statement! {
        "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT \
         volguard.conditional_update(key => $1, changes => $2, fence => $3, target => $4::pg_catalog.regclass, \
         expected => $5, filter => $6, filter_sql => $7, changes_sql => $8) AS result) AS once"
        (JSONB, JSONB, INT8, TEXT, JSONB, JSONB, TEXT, JSONB)
    }
    let row = client
        .row(
            &SQL,
            &[
                &Json(&*documents.key),
                &Json(&*documents.changes),
                &fence,
                &target,
                &Json(&*documents.expected),
                &documents.filter.as_deref().map(Json),
                &documents.filter_sql,
                &documents.changes_sql.as_deref().map(Json),
            ],
        )
        .await?;
    UpdateOutcome::read(&row)
}

/// Takes the lock of a tracked resource and changes its row, both or neither. Returns the token and the new row. The
/// key of `documents` is not used, nor are its texts of SQL.
pub async fn start_work(
    client: &impl Executor,
    service_id: i64,
    key: &Key,
    documents: &Documents,
    wait: Duration,
    request_id: Option<Uuid>,
) -> Result<WorkOutcome<(i64, UpdatedRow)>, Error> {
    statement! {
        "SELECT (once.result).token, (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT \
         volguard.start_work(service_id => $1, resource_type => $2, resource_id => $3, changes => $4, \
         expected => $5, filter => $6, lock_name => $7, wait => pg_catalog.make_interval(secs => $8), \
         request_id => $9) AS result) AS once"
        (INT8, TEXT, TEXT, JSONB, JSONB, JSONB, TEXT, FLOAT8, UUID)
    }
    let Name { resource_type, resource_id, lock_name } = &*key.name;
    let row = client
        .row(
            &SQL,
            &[
                &service_id,
                resource_type,
                resource_id,
                &Json(&*documents.changes),
                &Json(&*documents.expected),
                &documents.filter.as_deref().map(Json),
                lock_name,
                &seconds(wait),
                &request_id,
            ],
        )
        .await?;
    Ok(match (row.try_get("token")?, row.try_get("outcome")?) {
        (Some(token), _) => WorkOutcome::Started((token, UpdatedRow::read(&row)?)),
        (None, "unmet") => WorkOutcome::Unmet(row.try_get("unmet")?),
        (None, "not_found") => WorkOutcome::NotFound,
        (None, _) => WorkOutcome::Locked,
    })
}

/// Writes the final state of a resource and frees its lock, both or neither.
pub async fn finish_work(client: &impl Executor, token: i64, changes: &RawValue) -> Result<UpdateOutcome, Error> {
    statement! {
        "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet FROM (SELECT \
         volguard.finish_work(token => $1, changes => $2) AS result) AS once"
        (INT8, JSONB)
    }
    UpdateOutcome::read(&client.row(&SQL, &[&token, &Json(changes)]).await?)
}
