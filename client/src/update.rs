//! Compare-and-swap on one row, and the words of its conditions and values.
//!
//! A [`Condition`] is on one column, a [`Filter`] on the row as a whole, and an [`Expr`] is a value that the server
//! computes. A literal is anything that serializes to a JSON scalar, and does wherever a condition or a value is asked
//! for. Building never fails: what doesn't fit together is [`Error::InvalidDocument`] when it is sent.

mod condition;
mod expr;

pub use self::condition::{Condition, IntoCondition, eq, ge, gt, le, lt, ne, not, one_of};
pub use self::condition::{Filter, all, any, exists, exists_as, is};
pub use self::expr::{Expr, IntoExpr, add, column, concat, div, mul, now, outer, outer_of, sub, value, when};
use crate::json::{Part, document, invalid, scalar};
use crate::sql::{self, Documents};
use crate::{Error, Held, UpdateOutcome, Volguard, awaitable::awaitable};
use serde::Serialize;
use tokio_postgres::Transaction;

/// What updates and work ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    key: Vec<(String, Part)>,
    pub(crate) expected: Vec<(String, Part)>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) filters_sql: Vec<&'static str>,
    pub(crate) changes: Vec<(String, Part)>,
    pub(crate) changes_sql: Vec<(String, Part)>,
}

impl Request {
    pub(crate) fn documents(&self) -> Result<Documents, Error> {
        let filter = match &self.filters[..] {
            [] => None,
            [filter] => Some(filter.clone()),
            filters => Some(all(filters.iter().cloned())),
        };
        let filter = filter.map(|filter| filter.0).transpose().map_err(|problem| invalid("filter", problem))?;
        // One text only: joined texts are unsafe, because a comment in one may swallow the rest.
        let filter_sql = match self.filters_sql[..] {
            [] => None,
            [sql] => Some(sql.to_owned()),
            _ => return Err(invalid("filter_sql", "is given twice".to_owned())),
        };
        let (key, changes, expected) = (document(&self.key)?, document(&self.changes)?, document(&self.expected)?);
        let changes_sql = (!self.changes_sql.is_empty()).then(|| document(&self.changes_sql)).transpose()?;
        Ok(Documents { key, changes, expected, filter, filter_sql, changes_sql, target: None })
    }
}

/// The methods of builders that fill the `change` in them, a [`Request`].
macro_rules! change_methods {
    (conditions) => {
        /// Adds a condition on a column: a literal to be equal to, or a [`Condition`](crate::update::Condition).
        ///
        /// In a column that can hold any JSON (json, jsonb, a composite type), only scalars are conditions here, and
        /// anything else is the value to be equal to: use [`only_if`](Self::only_if) and [`is`](crate::update::is).
        pub fn expect(mut self, column: &str, condition: impl IntoCondition) -> Self {
            self.change.expected.push((column.to_owned(), condition.into_condition().into_json()));
            self
        }

        /// Requires that the columns of `row` are still what they were when it was read: optimistic concurrency. `row`
        /// is the result of `to_jsonb(volumes)`, or anything that serializes to an object of columns; those that it
        /// lacks may have changed. It must come from the database: a list or an object in it is not refused, and in a
        /// column that can't hold one it is a condition.
        ///
        /// In a column of JSON, `NULL` is equal to JSON's `null`, too. A
        /// [`RawValue`](serde_json::value::RawValue), read as `tokio_postgres::types::Json<Box<RawValue>>`, keeps every
        /// digit; a `numeric` read as `f64` may never be unchanged, one read as a `String` is. What is within arrays,
        /// composite values and JSON is text in the session's settings, such as `TimeZone` and `IntervalStyle`: they
        /// must be the same for both. With `extra_float_digits` below 1, floats lose digits.
        pub fn expect_unchanged(mut self, row: impl Serialize) -> Self {
            self.change.expected.extend(crate::json::columns(row));
            self
        }

        /// Requires that a filter holds, such as `is("unlimited", true) | is("used", le(column("quota") - 10))`.
        /// Several filters must all hold; `Unmet` names them `filter`.
        pub fn only_if(mut self, filter: Filter) -> Self {
            self.change.filters.push(filter);
            self
        }

        /// Requires that a filter doesn't hold: [`only_if`](Self::only_if) of `!filter`.
        pub fn unless(self, filter: Filter) -> Self {
            self.only_if(!filter)
        }

        /// Adds a condition in SQL: an expression over `target`, the row before the update. `Unmet` names it
        /// `filter_sql`. The text is sent as it is and runs with the caller's privileges. It must be known at compile
        /// time, so that no data from outside gets into it: `.filter_sql("target.name ~ '^backup-[0-9]+$'")`.
        pub fn filter_sql(mut self, sql: &'static str) -> Self {
            self.change.filters_sql.push(sql);
            self
        }

        /// Sets a column to the value of an SQL expression, with the text as in [`filter_sql`](Self::filter_sql).
        pub fn set_sql(mut self, column: &str, sql: &'static str) -> Self {
            self.change.changes_sql.push((column.to_owned(), crate::json::json(sql)));
            self
        }
    };
    (set $($more:literal)?) => {
        /// Sets a column to a literal (`None` is `NULL`), a [`value`](crate::update::value()) of JSON, another
        /// [`column`](crate::update::column()) as it was before, or a value computed from them.
        $(#[doc = $more])?
        pub fn set(mut self, column: &str, value: impl IntoExpr) -> Self {
            self.change.changes.push((column.to_owned(), value.into_expr().into_json()));
            self
        }
    };
}
pub(crate) use change_methods;

impl Volguard {
    /// Prepares a change to one row of a table, a name as in SQL.
    pub fn update(&self, table: &str) -> ConditionalUpdate {
        let (volguard, table) = (self.clone(), table.to_owned());
        ConditionalUpdate { volguard, table, change: Request::default(), fences: Vec::new() }
    }
}

/// A change to one row, applied only if the row is as expected. Made by [`Volguard::update`]; `.await` it, or execute
/// it [`within`](Self::within) a transaction.
///
/// The conditions are checked and the row changed in one statement under the row's lock, so of two such updates one
/// succeeds at most. `NULL` is a value like any other: `not("attached")` matches a column that is `NULL`.
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard, lock: volguard::Lock) -> Result<(), volguard::Error> {
/// use volguard::update::{exists, is, one_of, outer};
///
/// let outcome = volguard
///     .update("volumes")
///     .key("id", "v-17")
///     .expect("status", one_of(["available", "error"]))
///     .unless(exists("snapshots", is("volume_id", outer("id")) & is("deleted", false)))
///     .set("status", "deleting")
///     .fenced_by(&lock)
///     .await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// - [`Error::InvalidDocument`]: an object or array as a literal, a NaN, a column named twice, a second fence or SQL
///   filter, a row that is no object, words that don't fit together;
/// - [`Error::MalformedDocument`]; [`Error::Database`] with 42P01 for no such table, 42703 no such column, 21000 a key
///   that matches several rows, 42501 without the privilege, or for a value that the column's type doesn't take.
///
/// After [`Error::NoReply`] or a broken connection, as when the future is dropped, the change may have been made or
/// not. Read the row, or repeat the update: if its conditions exclude a second change, it is `Unmet` then.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct ConditionalUpdate {
    volguard: Volguard,
    table: String,
    change: Request,
    /// Tokens, with their locks if these are of this process.
    fences: Vec<(i64, Option<Held>)>,
}

impl ConditionalUpdate {
    /// Identifies the row: the one whose column has this value. Several columns together must be unique.
    pub fn key(mut self, column: &str, value: impl Serialize) -> Self {
        self.change.key.push((column.to_owned(), scalar(value)));
        self
    }

    change_methods!(conditions);
    change_methods!(set);

    /// Applies the change only if this lock is held, and keeps it held until the change is committed. Of several locks
    /// that were taken together, only the first is checked: where all must be held, use [`Held::assert_held_in`] and
    /// [`within`](Self::within) in one transaction.
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
    /// An error of the server aborts the transaction. When the future is dropped, roll back.
    pub async fn within(self, transaction: &Transaction<'_>) -> Result<UpdateOutcome, Error> {
        let (documents, token) = (self.documents()?, self.token()?);
        self.conclude(sql::conditional_update(transaction, &self.table, &documents, token).await)
    }

    /// The arguments of the SQL function, for SQL of your own, or [`Error::InvalidDocument`].
    pub fn documents(&self) -> Result<Documents, Error> {
        self.change.documents()
    }

    async fn send(self) -> Result<UpdateOutcome, Error> {
        let (documents, token) = (self.documents()?, self.token()?);
        self.conclude(sql::conditional_update(&self.volguard, &self.table, &documents, token).await)
    }

    /// The token that must be held. One only: the server takes one, and the other lock would not be checked.
    fn token(&self) -> Result<Option<i64>, Error> {
        match &self.fences[..] {
            [] => Ok(None),
            [(token, held)] => held.as_ref().map_or(Ok(()), Held::check).map(|()| Some(*token)),
            _ => Err(invalid("fence", "is given twice".to_owned())),
        }
    }

    fn conclude(&self, outcome: Result<UpdateOutcome, Error>) -> Result<UpdateOutcome, Error> {
        if let (Ok(UpdateOutcome::Fenced), [(_, Some(held))]) = (&outcome, &self.fences[..]) {
            held.note_gone();
        }
        outcome
    }
}

awaitable!(ConditionalUpdate -> Result<UpdateOutcome, Error>);
