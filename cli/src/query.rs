//! Reading the views.

use crate::args::Database;
use crate::connect;
use crate::error::Failure;
use crate::section::{Choice, Section};
use volguard::tokio_postgres::types::{ToSql, Type};
use volguard::tokio_postgres::{IsolationLevel, Transaction};
use volguard::{Connection, Volguard};

/// A row, its values as text.
pub(crate) type Row = Vec<Option<String>>;

/// A handle on the database, which is connected and has the extension.
pub(crate) async fn open(database: &Database) -> Result<Volguard, Failure> {
    Ok(connect::builder(database)?.connect().await?)
}

/// A transaction that only reads, all of one moment, in which names of Postgres mean what they mean there, whatever the role's path is.
pub(crate) async fn reading(connection: &mut Connection) -> Result<Transaction<'_>, Failure> {
    let transaction =
        connection.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    transaction.batch_execute("SET LOCAL search_path = pg_catalog").await?;
    Ok(transaction)
}

/// The rows of a section, and how many there are that match.
pub(crate) async fn rows(
    transaction: &Transaction<'_>,
    section: &Section,
    choice: &Choice,
    filter: &str,
    limit: i64,
) -> Result<(Vec<Row>, u64), Failure> {
    let all = texts(transaction, &section.sql(choice), &[(&filter, Type::TEXT), (&limit, Type::INT8)]).await?;
    let count = all.first().and_then(|row| row.last()?.as_ref()?.parse().ok()).unwrap_or(0);
    Ok((all, count))
}

/// The rows of a query of which each column is text. Unnamed statements, so that poolers pass them on.
pub(crate) async fn texts(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, Failure> {
    let rows = transaction.query_typed(sql, parameters).await?;
    let row =
        |row: &volguard::tokio_postgres::Row| (0..row.len()).map(|at| row.try_get(at)).collect::<Result<Row, _>>();
    Ok(rows.iter().map(row).collect::<Result<_, _>>()?)
}

/// The rows of a section as a JSON array.
pub(crate) async fn json(transaction: &Transaction<'_>, section: &Section, limit: i64) -> Result<String, Failure> {
    let rows = texts(transaction, &section.json_sql(), &[(&limit, Type::INT8)]).await?;
    Ok(array(&rows))
}

/// Values that are JSON texts, as an array, one a line.
pub(crate) fn array(rows: &[Row]) -> String {
    let values: Vec<&str> = rows.iter().filter_map(|row| row.first()?.as_deref()).collect();
    match values.is_empty() {
        true => "[]".to_owned(),
        false => format!("[\n{}\n]", values.join(",\n")),
    }
}
