//! `volguard free`

use super::print;
use crate::args::{Database, Free};
use crate::error::Failure;
use crate::query;
use crate::text::visible;
use volguard::tokio_postgres::types::Type;

const FREE: &str =
    "SELECT volguard.force_release(resource_type => $1, resource_id => $2, lock_name => $3, reason => $4)";

/// Takes a lock away. Returns whether there was one.
pub(crate) async fn free(database: &Database, asked: &Free) -> Result<bool, Failure> {
    let volguard = query::open(database).await?;
    let connection = volguard.connection().await?;
    let (kind, id) = &asked.resource.resource;
    let (name, reason) = (&asked.resource.lock_name, &asked.reason);
    let parameters: &[(&(dyn volguard::tokio_postgres::types::ToSql + Sync), Type)] =
        &[(kind, Type::TEXT), (id, Type::TEXT), (name, Type::TEXT), (reason, Type::TEXT)];
    let rows = connection.query_typed(FREE, parameters).await?;
    let freed: bool = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
    if asked.shown.json {
        print::json(&format!("{{\"freed\": {freed}}}"))?;
    } else {
        let lock = if name.is_empty() { "the lock".to_owned() } else { format!("the lock {}", visible(name)) };
        let done = if freed { "is free" } else { "was held by no service" };
        print::out(&format!("{lock} of {}/{} {done}\n", visible(kind), visible(id)))?;
    }
    Ok(freed)
}
