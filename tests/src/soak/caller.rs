//! Calls in plain SQL, each with a time limit, on a connection that is made anew when it breaks.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::{DbError, Severity};

use crate::scenario::Sql;

/// The time limit of a call.
const LIMIT: Duration = Duration::from_secs(5);

/// What a call got.
pub(super) enum Got {
    /// The first row, without NULLs; empty if there is none.
    Row(Vec<String>),
    /// A refusal, which has undone all that the call did.
    Error,
    /// Nothing is known.
    Nothing,
}

pub(super) struct Caller {
    url: String,
    sql: Option<Sql>,
}

impl Caller {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), sql: None }
    }

    pub(super) async fn call(&mut self, statement: &str) -> Got {
        let answer = timeout(LIMIT, async {
            // Kept only by a call that has an answer.
            let sql = match self.sql.take() {
                Some(sql) => sql,
                None => Sql::connect(&self.url).await?,
            };
            let rows = sql.rows(statement).await;
            let is_over = |error: &tokio_postgres::Error| {
                let severity = error.as_db_error().and_then(DbError::parsed_severity);
                severity == Some(Severity::Error)
            };
            if rows.as_ref().err().is_none_or(is_over) {
                self.sql = Some(sql);
            }
            rows
        });
        match answer.await {
            Ok(Ok(rows)) => Got::Row(rows.into_iter().next().unwrap_or_default().into_iter().flatten().collect()),
            Ok(Err(_)) if self.sql.is_some() => Got::Error,
            Ok(Err(_)) | Err(_) => Got::Nothing,
        }
    }
}
