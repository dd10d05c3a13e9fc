//! Compare-and-swap on one row.

mod case;
mod comparison;
mod condition;
mod document;
mod exists;
mod expression;
mod filter;
mod literal;
mod outcome;
mod repeated;
mod request;
mod unchanged;

use std::sync::Arc;

use serde::Serialize;
use tokio_postgres::Transaction;

pub use self::case::{Case, when};
pub use self::comparison::{Comparison, eq, ge, gt, le, lt, ne};
pub use self::condition::{Choice, Condition, IntoCondition, Negate, Negation, not, one_of};
pub(crate) use self::document::document;
pub use self::exists::{Exists, exists, outer};
pub use self::expression::{Expression, IntoExpression, add, column, concat, div, mul, now, sub};
pub use self::filter::{Filter, all, any, is};
use self::literal::scalar;
pub use self::literal::{IntoLiteral, Literal, value};
pub use self::outcome::{UpdateOutcome, UpdatedRow};
pub(crate) use self::repeated::Repeated;
pub(crate) use self::request::{Documents, Request};
use crate::connect::StatementMode;
use crate::error::Error;
use crate::handle::Volguard;
use crate::lock::{Held, Lock};
use crate::statements::{self, Statement};

/// A change to one row, applied only if the row is as expected. Made by [`Volguard::update`].
///
/// The conditions are checked and the row changed in one statement under the row's lock, so of two such updates one
/// succeeds at most. `NULL` is a value like any other: `not("attached")` matches a column that is `NULL`.
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard, lock: volguard::Lock) -> Result<(), volguard::Error> {
/// use volguard::{UpdateOutcome, column, exists, not, one_of, outer};
///
/// let outcome = volguard
///     .update("volumes")
///     .key("id", "v-17")
///     .expect("status", one_of(["available", "error"]))
///     .expect("attach_status", not("attached"))
///     .expect("migration_status", None::<String>)
///     .unless(exists("snapshots").where_eq("volume_id", outer("id")).where_eq("deleted", false))
///     .set("previous_status", column("status"))
///     .set("status", "deleting")
///     .set("size", column("size") + 1)
///     .fenced_by(&lock)
///     .execute()
///     .await?;
/// match outcome {
///     UpdateOutcome::Updated(row) => println!("now {} GiB", row.get::<i64>("size")?),
///     UpdateOutcome::Unmet(names) => println!("refused because of {}", names.join(", ")),
///     UpdateOutcome::NotFound => println!("no such volume"),
///     UpdateOutcome::Fenced => println!("the lock is not held any more"),
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `execute`"]
pub struct ConditionalUpdate {
    volguard: Volguard,
    table: String,
    request: Request,
    fence: Option<Arc<Held>>,
}

impl ConditionalUpdate {
    pub(crate) fn new(volguard: Volguard, table: &str) -> ConditionalUpdate {
        ConditionalUpdate { volguard, table: table.to_owned(), request: Request::default(), fence: None }
    }

    /// Identifies the row: the one whose column has this value. Several columns together must be unique.
    pub fn key(mut self, column: &str, value: impl Serialize) -> Self {
        self.request.key.push((column.to_owned(), scalar(value)));
        self
    }

    /// Adds a condition on a column: a literal (equal; `None` is `NULL`), [`one_of`] several, [`not()`] them, or a
    /// comparison such as [`lt`].
    ///
    /// In a column that can hold any JSON (json, jsonb, a composite type), only scalars are conditions here: the server
    /// reads anything else as the value to be equal to. For other conditions use [`only_if`](Self::only_if) and [`is`].
    pub fn expect(mut self, column: &str, condition: impl IntoCondition) -> Self {
        self.request.expect(column, condition);
        self
    }

    /// Requires that the columns of `row` are still what they were when it was read: optimistic concurrency. `row` is
    /// the result of `to_jsonb(volumes)`, or anything that serializes to an object of columns; columns that it lacks
    /// may have changed.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard) -> Result<(), Box<dyn std::error::Error>> {
    /// use volguard::UpdateOutcome;
    ///
    /// let client = volguard.pool().get().await?;
    /// let read = "SELECT to_jsonb(volumes) FROM volumes WHERE id = 17";
    /// let row: serde_json::Value = client.query_one(read, &[]).await?.try_get(0)?;
    /// drop(client);
    /// // ... think about it ...
    /// let update = volguard.update("volumes").key("id", 17).expect_unchanged(&row).set("size", 20);
    /// if let UpdateOutcome::Unmet(columns) = update.execute().await? {
    ///     println!("changed meanwhile: {}", columns.join(", "));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `NULL` is equal to `NULL`, and in a column of JSON also to JSON's `null`, which reads the same. A
    /// [`serde_json::Value`] keeps every digit of a number. A struct keeps what its fields can: a `numeric` read as
    /// `f64` may never be unchanged, one read as a `String` is. Times within arrays and JSON are text in the session's
    /// `TimeZone`.
    ///
    /// A column can be named once: a further [`expect`](Self::expect) of it is refused when the update is executed. For
    /// more conditions use [`only_if`](Self::only_if) and [`is`]. The row must come from the database, not from
    /// outside: unlike in a literal, a list or an object in it is not refused, and in a column that can't hold one it
    /// is a condition.
    pub fn expect_unchanged(mut self, row: impl Serialize) -> Self {
        self.request.expect_unchanged(row);
        self
    }

    /// Requires that a filter holds. Several filters must all hold; [`UpdateOutcome::Unmet`] names them `filter`.
    ///
    /// ```no_run
    /// # fn on(volguard: volguard::Volguard) -> volguard::ConditionalUpdate {
    /// use volguard::{column, is, le, one_of};
    ///
    /// volguard
    ///     .update("quotas")
    ///     .key("project", "p-1")
    ///     .only_if(is("unlimited", true) | is("used", le(column("limit") - 10)))
    ///     .set("used", column("used") + 10)
    /// # }
    /// ```
    pub fn only_if(mut self, filter: impl Into<Filter>) -> Self {
        self.request.only_if(filter);
        self
    }

    /// Requires that a filter doesn't hold: [`only_if`](Self::only_if) of its [`not()`].
    pub fn unless(self, filter: impl Into<Filter>) -> Self {
        self.only_if(!filter.into())
    }

    /// Adds a condition in SQL: an expression over `target`, the row before the update. [`UpdateOutcome::Unmet`] names
    /// it `filter_sql`.
    ///
    /// The text is sent as it is and runs with the caller's privileges. It must be known at compile time, so that no
    /// data from outside gets into it:
    ///
    /// ```no_run
    /// # fn on(volguard: volguard::Volguard) -> volguard::ConditionalUpdate {
    /// volguard
    ///     .update("volumes")
    ///     .key("id", "v-17")
    ///     .filter_sql("target.name ~ '^backup-[0-9]+$'")
    ///     .set("status", "deleting")
    /// # }
    /// ```
    pub fn filter_sql(mut self, sql: &'static str) -> Self {
        self.request.filters_sql.push(sql);
        self
    }

    /// Sets a column to a literal (`None` is `NULL`), a [`value()`] of JSON, another [`column()`] as it was before, or
    /// a value computed from them.
    pub fn set(mut self, column: &str, value: impl IntoExpression) -> Self {
        self.request.set(column, value);
        self
    }

    /// Sets a column to the value of an SQL expression over `target`, the row before the update. The text is sent as
    /// that of [`filter_sql`](Self::filter_sql) is.
    pub fn set_sql(mut self, column: &str, sql: &'static str) -> Self {
        self.request.changes_sql.push((column.to_owned(), sql));
        self
    }

    /// Applies the change only if this lock is held, and keeps it held until the change is committed.
    pub fn fenced_by(mut self, lock: &Lock) -> Self {
        self.fence = Some(Arc::clone(lock.held()));
        self
    }

    /// Executes the update in a transaction of its own.
    ///
    /// # Errors
    /// - [`Error::InvalidDocument`] without asking the server: an object or array as a literal, a column named
    ///   twice, SQL for the filter given twice, a row that is no object;
    /// - [`Error::SessionLost`] without asking the server, if the session of the fencing lock is lost;
    /// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses: 42P01 no such table, 42703 no
    ///   such column, 21000 a key that matches several rows, 42501 without the privilege, a value that the
    ///   column's type doesn't take;
    /// - [`Error::Pool`]; nothing was sent.
    ///
    /// When the connection breaks ([`Error::Database`]), the change may have been made or not. Read the row, or repeat
    /// the update: if its own conditions exclude a second change, it is `Unmet` then.
    ///
    /// # Cancel safety
    /// When the future is dropped, the change may have been made or not.
    pub async fn execute(self) -> Result<UpdateOutcome, Error> {
        let documents = self.documents()?;
        let client = self.volguard.checkout().await?;
        let token = self.token();
        let params = documents.params(&self.table, &token);
        let mode = self.volguard.mode();
        let written = self.often(&documents);
        let row = match &written {
            Some(text) => {
                let statement = Statement { sql: text, types: statements::UPDATE_WRITTEN_TYPES };
                let params = &params[..statement.types.len()];
                statement.row(&client, mode, params).await?
            }
            None => {
                let statement = statements::CONDITIONAL_UPDATE;
                statement.row(&client, mode, &params).await?
            }
        };
        self.conclude(&row)
    }

    /// The text of a statement with the conditions in it, if these come often enough to prepare it.
    fn often(&self, documents: &Documents) -> Option<String> {
        if self.volguard.mode() != StatementMode::Prepared {
            return None;
        }
        let text = documents.written(&self.table);
        let advice = self.volguard.repeated().note(&text);
        if let Some(old) = advice.forget {
            let caches = &self.volguard.pool().manager().statement_caches;
            caches.remove(&old, statements::UPDATE_WRITTEN_TYPES);
        }
        advice.prepare.then_some(text)
    }

    /// Executes the update inside a transaction of the caller. A deadpool transaction works too.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute) except for [`Error::Pool`]. The transaction is aborted if the server was
    /// asked.
    ///
    /// # Cancel safety
    /// When the future is dropped, the change may or may not be part of the transaction: roll back.
    pub async fn execute_in(self, transaction: &Transaction<'_>) -> Result<UpdateOutcome, Error> {
        let documents = self.documents()?;
        let token = self.token();
        let params = documents.params(&self.table, &token);
        let row = statements::CONDITIONAL_UPDATE.row_in(transaction, &params).await?;
        self.conclude(&row)
    }

    fn documents(&self) -> Result<Documents, Error> {
        if let Some(held) = &self.fence {
            held.check()?;
        }
        self.request.documents()
    }

    fn token(&self) -> Option<i64> {
        self.fence.as_ref().map(|held| held.token())
    }

    fn conclude(&self, row: &tokio_postgres::Row) -> Result<UpdateOutcome, Error> {
        let outcome = UpdateOutcome::read(row)?;
        if let (UpdateOutcome::Fenced, Some(held)) = (&outcome, &self.fence) {
            held.note_gone();
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
