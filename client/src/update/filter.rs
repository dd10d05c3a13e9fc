//! Conditions on several columns and on other tables, combined.

use std::ops;

use serde_json::Value;

use super::condition::IntoCondition;
use super::document::{Part, nested, operator};
use super::exists::Exists;

/// A condition that the row as a whole meets or not. Made by [`is`], [`exists`](crate::exists()), [`all`], [`any`] and
/// [`not`](crate::not()); passed to [`only_if`](crate::ConditionalUpdate::only_if),
/// [`unless`](crate::ConditionalUpdate::unless) and [`when`](crate::when).
///
/// `a & b`, `a | b` and `!a` say the same as [`all`], [`any`] and [`not`](crate::not()):
///
/// ```
/// use volguard::{exists, gt, is, outer};
///
/// is("status", "error") | (is("status", "available") & is("size", gt(0)));
/// is("migration_status", None::<&str>) & !exists("snapshots").where_eq("volume_id", outer("id"));
/// ```
#[derive(Debug, Clone)]
pub struct Filter(Part);

impl Filter {
    pub(super) fn new(json: Part) -> Filter {
        Filter(json)
    }

    pub(super) fn into_json(self) -> Part {
        self.0
    }

    pub(super) fn negated(self) -> Filter {
        Filter(self.0.map(|filter| operator("not", filter)))
    }
}

/// The column meets a condition: a literal, [`one_of`](crate::one_of) several, [`not`](crate::not()) them, or a
/// comparison.
///
/// ```
/// use volguard::{column, is, lt};
///
/// is("used", lt(column("quota")));
/// ```
pub fn is(column: &str, condition: impl IntoCondition) -> Filter {
    let condition = condition.into_condition().into_json();
    let column = nested(vec![(column.to_owned(), condition)]);
    Filter(column.map(|column| operator("where", column)))
}

/// All of them hold. An empty list holds.
///
/// ```
/// use volguard::{all, exists, is, not, outer};
///
/// all([
///     is("status", "available"),
///     is("attach_status", not("attached")),
///     exists("pools").where_eq("id", outer("pool_id")).into(),
/// ]);
/// ```
pub fn all<F: Into<Filter>>(filters: impl IntoIterator<Item = F>) -> Filter {
    several("all", filters)
}

/// At least one of them holds.
pub fn any<F: Into<Filter>>(filters: impl IntoIterator<Item = F>) -> Filter {
    several("any", filters)
}

/// All of them as one, or `None` if there is none.
pub(super) fn together(mut filters: Vec<Filter>) -> Option<Part> {
    match filters.len() {
        0 => None,
        1 => filters.pop().map(Filter::into_json),
        _ => Some(all(filters).into_json()),
    }
}

fn several<F: Into<Filter>>(name: &str, filters: impl IntoIterator<Item = F>) -> Filter {
    let filters = filters.into_iter().map(|filter| filter.into().0);
    let filters: Result<Vec<Value>, String> = filters.collect();
    Filter(filters.map(|filters| operator(name, Value::Array(filters))))
}

impl<F: Into<Filter>> ops::BitAnd<F> for Filter {
    type Output = Filter;

    fn bitand(self, other: F) -> Filter {
        all([self, other.into()])
    }
}

impl<F: Into<Filter>> ops::BitOr<F> for Filter {
    type Output = Filter;

    fn bitor(self, other: F) -> Filter {
        any([self, other.into()])
    }
}

impl ops::Not for Filter {
    type Output = Filter;

    fn not(self) -> Filter {
        self.negated()
    }
}

impl ops::Not for Exists {
    type Output = Filter;

    fn not(self) -> Filter {
        Filter::from(self).negated()
    }
}
