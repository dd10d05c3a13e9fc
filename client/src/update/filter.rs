//! Conditions on several columns and on other tables, combined.

use std::ops;

use serde::Serialize;
use serde_json::value::RawValue;

use super::condition::IntoCondition;
use crate::error::Error;
use crate::json::{Part, array, invalid, json, object, operator};

/// A condition that the row as a whole meets or not. Made by [`is`], [`all`], [`any`] and [`exists`]. `a & b` and `a |
/// b` say the same as [`all`] and [`any`]. `!a` is the plain opposite: a filter that is unknown in SQL doesn't hold, so
/// its negation does.
///
/// ```
/// use volguard::update::{exists, gt, is, outer};
///
/// is("status", "error") | (is("status", "available") & is("size", gt(0)));
/// !exists("snapshots", is("volume_id", outer("id")) & is("deleted", false));
/// ```
#[derive(Debug, Clone)]
pub struct Filter(pub(super) Part);

impl Filter {
    /// A filter as the server reads it. Text has to be parsed first.
    pub fn raw(filter: impl Serialize) -> Filter {
        Filter(json(filter))
    }

    /// The filter as JSON, for SQL of your own. [`Error::InvalidDocument`] if it can't be a filter.
    pub fn to_json(&self) -> Result<Box<RawValue>, Error> {
        self.0.clone().map_err(|problem| invalid("filter", problem))
    }
}

/// The column meets a condition: a literal, [`one_of`](super::one_of) several, [`not`](super::not) them, or a
/// comparison, such as `is("used", lt(column("quota")))`.
pub fn is(column: &str, condition: impl IntoCondition) -> Filter {
    let condition = condition.into_condition().into_json();
    let condition = condition.map_err(|problem| format!("names `{column}`, which {problem}"));
    Filter(operator("where", operator(column, condition)))
}

/// All of them hold. An empty list holds.
pub fn all(filters: impl IntoIterator<Item = Filter>) -> Filter {
    Filter(operator("all", array(filters.into_iter().map(|filter| filter.0))))
}

/// At least one of them holds. An empty list doesn't.
pub fn any(filters: impl IntoIterator<Item = Filter>) -> Filter {
    Filter(operator("any", array(filters.into_iter().map(|filter| filter.0))))
}

/// Holds if `table`, a name as in SQL, has a row that meets the filter; `all([])` is any row. In the filter,
/// [`column`](super::column()) and [`is`] are about that row, and [`outer`](super::outer) about the one to be updated.
pub fn exists(table: &str, filter: Filter) -> Filter {
    let row = filter.0.and_then(|filter| object([("table", json(table)?), ("filter", filter)]));
    Filter(operator("exists", row))
}

impl ops::BitAnd for Filter {
    type Output = Filter;

    fn bitand(self, other: Filter) -> Filter {
        all([self, other])
    }
}

impl ops::BitOr for Filter {
    type Output = Filter;

    fn bitor(self, other: Filter) -> Filter {
        any([self, other])
    }
}

impl ops::Not for Filter {
    type Output = Filter;

    fn not(self) -> Filter {
        Filter(operator("not", self.0))
    }
}
