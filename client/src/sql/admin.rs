//! What migrations and administrators call.

use serde_json::value::RawValue;
use tokio_postgres::types::{Json, Type};

use super::{Executor, Statement, count};
use crate::error::Error;

/// Says which table, a name as in SQL, holds the resources of a type, so that crash cleanup can repair its rows. A later
/// call for the same type replaces it.
///
/// # Errors
/// [`Error::Database`]: 42P01 for a table that doesn't exist, 42703 for a column, 42501 without the privilege.
pub async fn track_resource(
    client: &impl Executor,
    resource_type: &str,
    table: &str,
    id_column: &str,
    status_column: &str,
) -> Result<(), Error> {
    static SQL: Statement = Statement {
        sql: "SELECT true FROM volguard.track_resource(resource_type => $1, target => $2::pg_catalog.regclass, \
              id_column => $3, status_column => $4)",
        types: &[Type::TEXT, Type::TEXT, Type::NAME, Type::NAME],
    };
    client.row(&SQL, &[&resource_type, &table, &id_column, &status_column]).await.map(drop)
}

/// Sets a crash rule: what cleanup writes to a tracked resource whose service died while the lock had this status. The
/// `changes` are a document like that of an update.
///
/// # Errors
/// [`Error::MalformedDocument`]; [`Error::Database`]: a type that isn't tracked, a column that doesn't exist, a table
/// that the role may not update.
pub async fn on_crash(
    client: &impl Executor,
    resource_type: &str,
    status: &str,
    changes: &RawValue,
) -> Result<(), Error> {
    set_rule(client, resource_type, status, Some(changes)).await
}

/// Removes a crash rule: work that crashes in this status then waits.
///
/// # Errors
/// [`Error::Database`].
pub async fn remove_crash_rule(client: &impl Executor, resource_type: &str, status: &str) -> Result<(), Error> {
    set_rule(client, resource_type, status, None).await
}

async fn set_rule(
    client: &impl Executor,
    resource_type: &str,
    status: &str,
    changes: Option<&RawValue>,
) -> Result<(), Error> {
    static SQL: Statement = Statement {
        sql: "SELECT true FROM volguard.on_crash(resource_type => $1, status => $2, changes => $3)",
        types: &[Type::TEXT, Type::TEXT, Type::JSONB],
    };
    client.row(&SQL, &[&resource_type, &status, &changes.map(Json)]).await.map(drop)
}

/// Takes a lock away from its holder; the server logs it with the reason. Returns `false` if the token was not held.
///
/// # Errors
/// [`Error::Database`]: 42501 for a role that is neither a member of the role that registered the holder nor of the
/// extension's owner.
pub async fn force_release(client: &impl Executor, token: i64, reason: &str) -> Result<bool, Error> {
    static SQL: Statement =
        Statement { sql: "SELECT volguard.force_release(token => $1, reason => $2)", types: &[Type::INT8, Type::TEXT] };
    Ok(client.row(&SQL, &[&token, &reason]).await?.try_get(0)?)
}

/// Removes all locks and work of a resource, after its state was reset. Returns their number.
///
/// # Errors
/// As for [`force_release`].
pub async fn reset_resource(client: &impl Executor, resource_type: &str, resource_id: &str) -> Result<u64, Error> {
    static SQL: Statement = Statement {
        sql: "SELECT volguard.reset_resource(resource_type => $1, resource_id => $2)",
        types: &[Type::TEXT, Type::TEXT],
    };
    count(&client.row(&SQL, &[&resource_type, &resource_id]).await?)
}

/// Marks a cluster as out of use, with a reason for people to read, or as in use again.
///
/// # Errors
/// [`Error::Database`]: 42704 for a cluster that no service has ever registered in, 42501 without the privilege.
pub async fn set_cluster_disabled(
    client: &impl Executor,
    cluster: &str,
    disabled: bool,
    reason: Option<&str>,
) -> Result<(), Error> {
    static SQL: Statement = Statement {
        sql: "SELECT true FROM volguard.set_cluster_disabled(cluster => $1, disabled => $2, reason => $3)",
        types: &[Type::TEXT, Type::BOOL, Type::TEXT],
    };
    client.row(&SQL, &[&cluster, &disabled, &reason]).await.map(drop)
}
