//! A requested change of a row, and its documents for the server.

use super::filter::{Filter, all};
use crate::error::Error;
use crate::json::{Part, document, invalid};
use crate::sql::Documents;

/// What updates and work ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(super) key: Vec<(String, Part)>,
    pub(crate) expected: Vec<(String, Part)>,
    pub(crate) filters: Vec<Filter>,
    pub(super) filters_sql: Vec<&'static str>,
    pub(crate) changes: Vec<(String, Part)>,
    pub(super) changes_sql: Vec<(String, Part)>,
}

impl Request {
    pub(crate) fn documents(&self) -> Result<Documents, Error> {
        let filter = match &self.filters[..] {
            [] => None,
            [filter] => Some(filter.to_json()?),
            filters => Some(all(filters.iter().cloned()).to_json()?),
        };
        // One text only: joined texts are unsafe, because a comment in one may swallow the rest.
        let filter_sql = match self.filters_sql[..] {
            [] => None,
            [sql] => Some(sql.to_owned()),
            _ => return Err(invalid("filter_sql", "is given twice".to_owned())),
        };
        Ok(Documents {
            key: document(&self.key)?,
            changes: document(&self.changes)?,
            expected: document(&self.expected)?,
            filter,
            filter_sql,
            changes_sql: (!self.changes_sql.is_empty()).then(|| document(&self.changes_sql)).transpose()?,
        })
    }
}

/// The methods of builders that fill the `change` in them, a [`Request`].
macro_rules! change_methods {
    (conditions) => {
        /// Adds a condition on a column: a literal (equal; `None` is `NULL`), [`one_of`](crate::update::one_of)
        /// several, [`not`](crate::update::not()) them, a comparison such as [`lt`](crate::update::lt), or an
        /// [`Expr`](crate::update::Expr) (equal).
        ///
        /// In a column that can hold any JSON (json, jsonb, a composite type), only scalars are conditions here: the
        /// server reads anything else as the value to be equal to. For other conditions use [`only_if`](Self::only_if)
        /// and [`is`](crate::update::is).
        pub fn expect(mut self, column: &str, condition: impl IntoCondition) -> Self {
            self.change.expected.push((column.to_owned(), condition.into_condition().into_json()));
            self
        }

        /// Requires that the columns of `row` are still what they were when it was read: optimistic concurrency. `row`
        /// is the result of `to_jsonb(volumes)`, or anything that serializes to an object of columns; columns that it
        /// lacks may have changed.
        ///
        /// `NULL` is equal to `NULL`, and in a column of JSON also to JSON's `null`, which reads the same. A
        /// [`RawValue`](serde_json::value::RawValue), read as `tokio_postgres::types::Json<Box<RawValue>>`, keeps every
        /// digit of a number. A [`serde_json::Value`] or a struct keeps what it can: a `numeric` read as `f64` may
        /// never be unchanged, one read as a `String` is. Times within arrays and JSON are text in the session's
        /// `TimeZone`.
        ///
        /// A further [`expect`](Self::expect) of a column is refused when this is sent: use [`only_if`](Self::only_if)
        /// and [`is`](crate::update::is). The row must come from the database, not from outside: unlike in a literal, a
        /// list or an object in it is not refused, and in a column that can't hold one it is a condition.
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
