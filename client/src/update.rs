//! Compare-and-swap on one row, and the words of its conditions and values.
//!
//! A [`Condition`] is on one column, a [`Filter`] on the row as a whole, and an [`Expr`] is a value that the server
//! computes. A literal is anything that serializes to a JSON scalar, and does wherever a condition or a value is asked
//! for. Building never fails: what doesn't fit together is [`Error::InvalidDocument`] when it is sent.

mod condition;
mod expr;
mod filter;
mod request;

use std::pin::Pin;

use serde::Serialize;
use tokio_postgres::Transaction;

pub use self::condition::{Condition, IntoCondition, eq, ge, gt, le, lt, ne, not, one_of};
pub use self::expr::{Expr, IntoExpr, add, column, concat, div, mul, now, outer, sub, value, when};
pub use self::filter::{Filter, all, any, exists, is};
pub(crate) use self::request::Request;
use crate::error::Error;
use crate::handle::Volguard;
use crate::json::{invalid, json, scalar};
use crate::lock::Held;
use crate::outcome::UpdateOutcome;
use crate::sql::{self, Documents};

mod sealed {
    /// Keeps the two traits to the types of this module.
    pub trait Sealed {}
    impl Sealed for super::Condition {}
    impl Sealed for super::Expr {}
    #[diagnostic::do_not_recommend]
    impl<T: serde::Serialize> Sealed for T {}
}

impl Volguard {
    /// Prepares a change to one row of a table, a name as in SQL. Nothing happens before it is awaited.
    pub fn update(&self, table: &str) -> ConditionalUpdate {
        ConditionalUpdate {
            volguard: self.clone(),
            table: table.to_owned(),
            request: Request::default(),
            fences: vec![],
        }
    }
}

/// A change to one row, applied only if the row is as expected. Made by [`Volguard::update`]; `.await` it, or execute
/// it [`within`](ConditionalUpdate::within) a transaction.
///
/// The conditions are checked and the row changed in one statement under the row's lock, so of two such updates one
/// succeeds at most. `NULL` is a value like any other: `not("attached")` matches a column that is `NULL`.
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard, lock: volguard::Lock) -> Result<(), volguard::Error> {
/// use volguard::UpdateOutcome;
/// use volguard::update::{column, exists, is, not, one_of, outer};
///
/// let outcome = volguard
///     .update("volumes")
///     .key("id", "v-17")
///     .expect("status", one_of(["available", "error"]))
///     .expect("attach_status", not("attached"))
///     .expect("migration_status", None::<String>)
///     .unless(exists("snapshots", is("volume_id", outer("id")) & is("deleted", false)))
///     .set("previous_status", column("status"))
///     .set("status", "deleting")
///     .set("size", column("size") + 1)
///     .fenced_by(&lock)
///     .await?;
/// match outcome {
///     UpdateOutcome::Updated(row) => println!("now {} GiB", row.get::<i64>("size")?),
///     UpdateOutcome::Unmet(names) => println!("refused because of {}", names.join(", ")),
///     other => println!("the volume is gone, or the lock: {other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// - [`Error::InvalidDocument`] without asking the server: an object or array as a literal, a NaN, a column named
///   twice, a second fence or SQL filter, a row that is no object, words that don't fit together;
/// - [`Error::SessionLost`] without asking the server, if the session of the fencing lock is lost;
/// - [`Error::MalformedDocument`], [`Error::Database`] if the server refuses: 42P01 no such table, 42703 no such
///   column, 21000 a key that matches several rows, 42501 without the privilege, a value that the column's type
///   doesn't take;
/// - [`Error::Connect`], [`Error::PoolExhausted`]; nothing was sent;
/// - [`Error::NoReply`], or [`Error::Database`] of a broken connection: the change may have been made or not. Read the
///   row, or repeat the update: if its own conditions exclude a second change, it is `Unmet` then.
///
/// *Cancel safety:* When the future is dropped, the change may have been made or not.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct ConditionalUpdate {
    volguard: Volguard,
    table: String,
    request: Request,
    /// Tokens, with their locks if these are of this process.
    fences: Vec<(i64, Option<Held>)>,
}

impl ConditionalUpdate {
    /// Identifies the row: the one whose column has this value. Several columns together must be unique.
    pub fn key(mut self, column: &str, value: impl Serialize) -> Self {
        self.request.key.push((column.to_owned(), scalar(value)));
        self
    }

    /// Adds a condition on a column: a literal (equal; `None` is `NULL`), [`one_of`] several, [`not()`] them, a
    /// comparison such as [`lt`], or an [`Expr`] (equal).
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
    /// `NULL` is equal to `NULL`, and in a column of JSON also to JSON's `null`, which reads the same. A
    /// [`RawValue`](serde_json::value::RawValue), read as `tokio_postgres::types::Json<Box<RawValue>>`, keeps every
    /// digit of a number. A [`serde_json::Value`] or a struct keeps what it can: a `numeric` read as `f64` may never be
    /// unchanged, one read as a `String` is. Times within arrays and JSON are text in the session's `TimeZone`.
    ///
    /// A column can be named once: a further [`expect`](Self::expect) of it is refused when the update is sent. For
    /// more conditions use [`only_if`](Self::only_if) and [`is`]. The row must come from the database, not from
    /// outside: unlike in a literal, a list or an object in it is not refused, and in a column that can't hold one it
    /// is a condition.
    pub fn expect_unchanged(mut self, row: impl Serialize) -> Self {
        self.request.expect_unchanged(row);
        self
    }

    /// Requires that a filter holds. Several filters must all hold; [`UpdateOutcome::Unmet`] names them `filter`.
    /// `is("unlimited", true) | is("used", le(column("quota") - 10))` is one.
    pub fn only_if(mut self, filter: Filter) -> Self {
        self.request.only_if(filter);
        self
    }

    /// Requires that a filter doesn't hold: [`only_if`](Self::only_if) of `!filter`.
    pub fn unless(self, filter: Filter) -> Self {
        self.only_if(!filter)
    }

    /// Adds a condition in SQL: an expression over `target`, the row before the update. [`UpdateOutcome::Unmet`] names
    /// it `filter_sql`.
    ///
    /// The text is sent as it is and runs with the caller's privileges. It must be known at compile time, so that no
    /// data from outside gets into it: `.filter_sql("target.name ~ '^backup-[0-9]+$'")`.
    pub fn filter_sql(mut self, sql: &'static str) -> Self {
        self.request.filters_sql.push(sql);
        self
    }

    /// Sets a column to a literal (`None` is `NULL`), a [`value()`] of JSON, another [`column()`] as it was before, or
    /// a value computed from them.
    pub fn set(mut self, column: &str, value: impl IntoExpr) -> Self {
        self.request.set(column, value);
        self
    }

    /// Sets a column to the value of an SQL expression over `target`, the row before the update. The text is sent as
    /// that of [`filter_sql`](Self::filter_sql) is.
    pub fn set_sql(mut self, column: &str, sql: &'static str) -> Self {
        self.request.changes_sql.push((column.to_owned(), json(sql)));
        self
    }

    /// Applies the change only if this lock is held, and keeps it held until the change is committed.
    ///
    /// Of several locks that were taken together, only the first is checked. Where all must be held, use
    /// [`Held::assert_held_in`] and [`within`](Self::within) in one transaction.
    pub fn fenced_by(mut self, lock: &Held) -> Self {
        self.fences.push((lock.token(), Some(lock.clone())));
        self
    }

    /// As [`fenced_by`](Self::fenced_by), for the token of a lock that another part of the program holds.
    pub fn fence(mut self, token: i64) -> Self {
        self.fences.push((token, None));
        self
    }

    /// Executes the update inside a transaction of the caller, without a time limit. A deadpool transaction works too.
    /// An error of the server aborts the transaction. When the future is dropped, the change may or may not be part of
    /// the transaction: roll back.
    pub async fn within(self, transaction: &Transaction<'_>) -> Result<UpdateOutcome, Error> {
        let (documents, token) = (self.documents()?, self.token()?);
        let outcome = sql::conditional_update(transaction, &self.table, &documents, token).await?;
        Ok(self.conclude(outcome))
    }

    /// The arguments of the SQL function, for SQL of your own, or [`Error::InvalidDocument`].
    pub fn documents(&self) -> Result<Documents, Error> {
        self.request.documents()
    }

    async fn execute(self) -> Result<UpdateOutcome, Error> {
        let (documents, token) = (self.documents()?, self.token()?);
        let connection = self.volguard.connection().await?;
        let update = sql::conditional_update(&connection, &self.table, &documents, token);
        let outcome = connection.run("conditional_update", update).await?;
        Ok(self.conclude(outcome))
    }

    /// The token that must be held. One only: the server takes one, and the other lock would not be checked.
    fn token(&self) -> Result<Option<i64>, Error> {
        match &self.fences[..] {
            [] => Ok(None),
            [(token, held)] => held.as_ref().map_or(Ok(()), Held::check).map(|()| Some(*token)),
            _ => Err(invalid("fence", "is given twice".to_owned())),
        }
    }

    fn conclude(&self, outcome: UpdateOutcome) -> UpdateOutcome {
        if let (UpdateOutcome::Fenced, [(_, Some(held))]) = (&outcome, &self.fences[..]) {
            held.note_gone();
        }
        outcome
    }
}

impl IntoFuture for ConditionalUpdate {
    type Output = Result<UpdateOutcome, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.execute())
    }
}
