//! What migrations call.

use serde_json::value::RawValue;
use tokio_postgres::types::Json;

use super::Executor;
use super::executor::statement;
use crate::error::Error;

/// Says which table, a name as in SQL, holds the resources of a type, so that crash cleanup can repair its rows. A later
/// call for the same type replaces it.
pub async fn track_resource(
    client: &impl Executor,
    resource_type: &str,
    table: &str,
    id_column: &str,
    status_column: &str,
) -> Result<(), Error> {
    statement! {
        "SELECT true FROM volguard.track_resource(resource_type => $1, target => $2::pg_catalog.regclass, \
         id_column => $3, status_column => $4)"
        (TEXT, TEXT, NAME, NAME)
    }
    client.row(&SQL, &[&resource_type, &table, &id_column, &status_column]).await.map(drop)
}

/// Sets a crash rule: what cleanup writes to a tracked resource whose service died while the lock had this status, as a
/// document like the changes of an update. `None` removes the rule: work that crashes in this status then waits.
pub async fn on_crash(
    client: &impl Executor,
    resource_type: &str,
    status: &str,
    changes: Option<&RawValue>,
) -> Result<(), Error> {
    statement! {
        "SELECT true FROM volguard.on_crash(resource_type => $1, status => $2, changes => $3)"
        (TEXT, TEXT, JSONB)
    }
    client.row(&SQL, &[&resource_type, &status, &changes.map(Json)]).await.map(drop)
}
