//! `volguard who`

use super::print;
use crate::args::{Database, Who};
use crate::error::Failure;
use crate::query::{self, array, texts};
use crate::text::visible;
use volguard::tokio_postgres::types::Type;

const WHY: &str = "SELECT why FROM volguard.why($1, $2, $3) AS why";
const LOCKS: &str = "SELECT to_jsonb(v)::text FROM volguard.lock_status AS v \
    WHERE resource_type = $1 AND resource_id = $2 ORDER BY lock_name";
const WAITERS: &str = "SELECT to_jsonb(v)::text FROM volguard.waiters AS v \
    WHERE resource_type = $1 AND resource_id = $2 ORDER BY lock_name, waits_for, place";

/// Who holds a lock, and who waits for it.
pub(crate) async fn who(database: &Database, asked: &Who) -> Result<(), Failure> {
    let volguard = query::open(database).await?;
    let mut connection = volguard.connection().await?;
    let transaction = query::reading(&mut connection).await?;
    let (kind, id) = &asked.resource.resource;
    let name = &asked.resource.lock_name;
    let said = texts(&transaction, WHY, &[(kind, Type::TEXT), (id, Type::TEXT), (name, Type::TEXT)]).await?;
    let sentences: Vec<&str> = said.iter().filter_map(|row| row.first()?.as_deref()).collect();
    if !asked.shown.json {
        let lines = sentences.iter().map(|sentence| visible(sentence) + "\n");
        return print::out(&lines.collect::<String>());
    }
    let locks = texts(&transaction, LOCKS, &[(kind, Type::TEXT), (id, Type::TEXT)]).await?;
    let waiters = texts(&transaction, WAITERS, &[(kind, Type::TEXT), (id, Type::TEXT)]).await?;
    let why = serde_json::Value::from(sentences);
    print::json(&format!("{{\"locks\": {},\n\"waiters\": {},\n\"why\": {why}}}", array(&locks), array(&waiters)))
}
