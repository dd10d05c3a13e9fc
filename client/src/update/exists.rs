//! A row in another table.

use serde_json::{Map, Value};

use super::comparison::eq;
use super::condition::IntoCondition;
use super::document::{Part, nested, operator};
use super::expression::{Expression, IntoExpression};
use super::filter::{Filter, together};

/// Requires such a row in a table. Made by [`exists`]; a [`Filter`].
#[derive(Debug, Clone)]
pub struct Exists {
    table: String,
    conditions: Vec<(String, Part)>,
    filters: Vec<Filter>,
}

impl Exists {
    /// One of its columns equals a literal or an expression over its own [`column`](crate::column)s and [`outer`] ones.
    /// `None` is `NULL`.
    pub fn where_eq(self, column: &str, value: impl IntoExpression) -> Exists {
        self.where_is(column, eq(value))
    }

    /// One of its columns meets a condition.
    pub fn where_is(mut self, column: &str, condition: impl IntoCondition) -> Exists {
        let condition = condition.into_condition().into_json();
        self.conditions.push((column.to_owned(), condition));
        self
    }

    /// A filter over its own columns and [`outer`] ones holds.
    pub fn where_filter(mut self, filter: impl Into<Filter>) -> Exists {
        self.filters.push(filter.into());
        self
    }

    fn into_json(self) -> Part {
        let mut object = Map::from_iter([("table".to_owned(), Value::String(self.table))]);
        if !self.conditions.is_empty() {
            object.insert("where".to_owned(), nested(self.conditions)?);
        }
        if let Some(filter) = together(self.filters) {
            object.insert("filter".to_owned(), filter?);
        }
        Ok(operator("exists", Value::Object(object)))
    }
}

impl From<Exists> for Filter {
    fn from(exists: Exists) -> Filter {
        Filter::new(exists.into_json())
    }
}

/// Holds if `table`, a name as in SQL, has a row that meets all conditions.
///
/// ```
/// use volguard::{exists, not, one_of, outer};
///
/// exists("snapshots")
///     .where_eq("volume_id", outer("id"))
///     .where_is("status", not(one_of(["deleted", "error"])));
/// ```
pub fn exists(table: &str) -> Exists {
    Exists { table: table.to_owned(), conditions: Vec::new(), filters: Vec::new() }
}

/// Inside [`exists`]: a column of the row that is to be updated.
pub fn outer(column: &str) -> Expression {
    Expression::operator("outer", Value::from(column))
}
