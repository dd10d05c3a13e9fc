//! A requested change of a row, and its documents for the server.

use serde::Serialize;

use super::condition::IntoCondition;
use super::expr::IntoExpr;
use super::filter::{Filter, all};
use crate::error::Error;
use crate::json::{Part, columns, document, invalid};
use crate::sql::Documents;

/// What updates, work and crash rules ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(super) key: Vec<(String, Part)>,
    expected: Vec<(String, Part)>,
    filters: Vec<Filter>,
    pub(super) filters_sql: Vec<&'static str>,
    changes: Vec<(String, Part)>,
    pub(super) changes_sql: Vec<(String, Part)>,
}

impl Request {
    pub(crate) fn expect(&mut self, column: &str, condition: impl IntoCondition) {
        self.expected.push((column.to_owned(), condition.into_condition().into_json()));
    }

    /// One condition per column, unchanged: the server takes it for a value if a column of its type can hold it.
    pub(crate) fn expect_unchanged(&mut self, row: impl Serialize) {
        match columns(row) {
            Ok(columns) => self.expected.extend(columns.into_iter().map(|(column, value)| (column, Ok(value)))),
            Err(problem) => self.expected.push(("expected".to_owned(), Err(problem))),
        }
    }

    pub(crate) fn only_if(&mut self, filter: Filter) {
        self.filters.push(filter);
    }

    pub(crate) fn set(&mut self, column: &str, value: impl IntoExpr) {
        self.changes.push((column.to_owned(), value.into_expr().into_json()));
    }

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
