//! Compare-and-swap on one row.

mod condition;
mod document;
mod expression;
mod outcome;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

pub use self::condition::{Condition, IntoCondition, not, one_of};
pub(crate) use self::document::document;
use self::document::scalar;
pub use self::expression::{Expression, IntoExpression, add, column, div, mul, sub};
pub use self::outcome::{UpdateOutcome, UpdatedRow};
use crate::error::Error;
use crate::handle::Volguard;
use crate::lock::{Held, Lock};
use crate::statements;

/// A change to one row that takes place only if the row is as expected. Made by [`Volguard::update`].
///
/// The conditions are checked and the row changed in one statement under the row's lock, so two of them never
/// both win. `NULL` is a value like any other: `not("attached")` matches a column that is `NULL`.
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard, lock: volguard::Lock) -> Result<(), volguard::Error> {
/// use volguard::{UpdateOutcome, column, not, one_of};
///
/// let outcome = volguard
///     .update("volumes")
///     .key("id", "v-17")
///     .expect("status", one_of(["available", "error"]))
///     .expect("attach_status", not("attached"))
///     .expect("migration_status", None::<String>)
///     .set("previous_status", column("status"))
///     .set("status", "deleting")
///     .set("size", column("size") + 1)
///     .fenced_by(&lock)
///     .execute()
///     .await?;
/// match outcome {
///     UpdateOutcome::Updated(row) => println!("now {} GiB", row.get::<i64>("size")?),
///     UpdateOutcome::Unmet(columns) => println!("refused because of {}", columns.join(", ")),
///     UpdateOutcome::NotFound => println!("no such volume"),
///     UpdateOutcome::Fenced => println!("somebody else has the lock by now"),
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
    key: Vec<(String, Result<Value, String>)>,
    expected: Vec<(String, Condition)>,
    values: Vec<(String, Expression)>,
    fence: Option<Arc<Held>>,
}

/// The documents that the server gets.
struct Documents {
    key: Value,
    expected: Value,
    values: Value,
}

impl ConditionalUpdate {
    pub(crate) fn new(volguard: Volguard, table: &str) -> ConditionalUpdate {
        ConditionalUpdate {
            volguard,
            table: table.to_owned(),
            key: Vec::new(),
            expected: Vec::new(),
            values: Vec::new(),
            fence: None,
        }
    }

    /// Says which row: the one whose column has this value. Several columns together must be unique.
    pub fn key(mut self, column: &str, value: impl Serialize) -> Self {
        self.key.push((column.to_owned(), scalar(value)));
        self
    }

    /// Demands something of a column: a literal (equal; `None` is `NULL`), [`one_of`] several, or [`not()`].
    pub fn expect(mut self, column: &str, condition: impl IntoCondition) -> Self {
        self.expected
            .push((column.to_owned(), condition.into_condition()));
        self
    }

    /// Sets a column: to a literal (`None` is `NULL`), to another [`column()`] as it was before, or to arithmetic
    /// on them.
    pub fn set(mut self, column: &str, value: impl IntoExpression) -> Self {
        self.values
            .push((column.to_owned(), value.into_expression()));
        self
    }

    /// Lets the change take place only if this lock is held, and holds it until the change is committed.
    pub fn fenced_by(mut self, lock: &Lock) -> Self {
        self.fence = Some(Arc::clone(lock.held()));
        self
    }

    /// Does it, in a transaction of its own.
    ///
    /// # Errors
    /// - [`Error::InvalidDocument`] without asking the server: an object or array as a literal, a column named
    ///   twice;
    /// - [`Error::SessionLost`] without asking the server, if the session of the lock is lost that fences it;
    /// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses: 42P01 no such table, 42703 no
    ///   such column, 21000 a key that matches several rows, 42501 without the privilege, a value that the
    ///   column's type doesn't take;
    /// - [`Error::Pool`]; nothing was sent.
    ///
    /// When the connection breaks ([`Error::Database`]) the change may have been made or not. Read the row, or
    /// ask again: a change whose own conditions exclude a second time is `Unmet` then.
    ///
    /// # Cancel safety
    /// When the future is dropped the change may have been made or not.
    pub async fn execute(self) -> Result<UpdateOutcome, Error> {
        let documents = self.prepare()?;
        let client = self.volguard.checkout().await?;
        let params: statements::Params<'_> = &[
            &self.table,
            &documents.key,
            &documents.values,
            &documents.expected,
            &self.token(),
        ];
        let mode = self.volguard.mode();
        let row = statements::CONDITIONAL_UPDATE
            .row(&client, mode, params)
            .await?;
        self.conclude(&row)
    }

    /// Does it inside a transaction of the caller's. A deadpool transaction works too.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute) but for [`Error::Pool`]. The transaction is aborted if the server
    /// was asked.
    ///
    /// # Cancel safety
    /// When the future is dropped the change may or may not be part of the transaction: roll back.
    pub async fn execute_in(self, transaction: &Transaction<'_>) -> Result<UpdateOutcome, Error> {
        let documents = self.prepare()?;
        let params: statements::Params<'_> = &[
            &self.table,
            &documents.key,
            &documents.values,
            &documents.expected,
            &self.token(),
        ];
        let row = statements::CONDITIONAL_UPDATE
            .row_in(transaction, params)
            .await?;
        self.conclude(&row)
    }

    fn prepare(&self) -> Result<Documents, Error> {
        if let Some(held) = &self.fence {
            held.check()?;
        }
        let json = |map: Map<String, Value>| Value::Object(map);
        Ok(Documents {
            key: json(document(self.key.clone(), |value| value)?),
            expected: json(document(self.expected.clone(), Condition::into_json)?),
            values: json(document(self.values.clone(), Expression::into_json)?),
        })
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
mod tests {
    use super::*;
    use deadpool_postgres::{Manager, Pool};
    use serde_json::json;
    use tokio_postgres::NoTls;

    use crate::connect::StatementMode;

    fn update() -> ConditionalUpdate {
        let manager = Manager::new(tokio_postgres::Config::new(), NoTls);
        let pool = Pool::builder(manager).build().unwrap();
        Volguard::from_pool(pool, StatementMode::Prepared).update("volumes")
    }

    #[tokio::test]
    async fn builds_the_documents_of_the_contract() {
        let documents = update()
            .key("id", 17)
            .expect("status", one_of([Some("available"), None]))
            .expect("attach_status", not("attached"))
            .expect("host", None::<String>)
            .expect("migration", not(one_of(["a", "b"])).nulls_match(false))
            .set("previous_status", column("status"))
            .set("status", "deleting")
            .set("size", column("size") + 1)
            .set("free", sub(column("total"), mul(2, column("size"))))
            .set("node", None::<i32>)
            .prepare()
            .unwrap();
        assert_eq!(documents.key, json!({"id": 17}));
        assert_eq!(
            documents.expected,
            json!({
                "status": ["available", null],
                "attach_status": {"not": "attached"},
                "host": null,
                "migration": {"not": ["a", "b"], "null": false},
            })
        );
        assert_eq!(
            documents.values,
            json!({
                "previous_status": {"column": "status"},
                "status": "deleting",
                "size": {"add": [{"column": "size"}, 1]},
                "free": {"sub": [{"column": "total"}, {"mul": [2, {"column": "size"}]}]},
                "node": null,
            })
        );
    }

    fn problem(update: &ConditionalUpdate) -> String {
        match update.prepare() {
            Err(Error::InvalidDocument { column, problem }) => format!("{column}: {problem}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("accepted"),
        }
    }

    #[tokio::test]
    async fn a_literal_never_becomes_an_operator() {
        let from_outside = json!({"not": "in-use"});
        let refused = problem(&update().expect("status", &from_outside));
        assert!(refused.starts_with("status: "), "{refused}");
        problem(&update().expect("status", one_of([&from_outside])));
        problem(&update().set("status", json!({"column": "secret"})));
        problem(&update().key("id", from_outside));
        problem(&update().expect("status", ["available", "error"]));
    }

    #[tokio::test]
    async fn a_column_named_twice_loses_no_condition() {
        let refused = problem(&update().expect("status", "a").expect("status", "b"));
        assert!(refused.starts_with("status: "), "{refused}");
        problem(&update().set("size", 1).set("size", 2));
        problem(&update().expect("status", not(not("a"))));
        problem(&update().expect("status", one_of(["a"]).nulls_match(true)));
    }
}
