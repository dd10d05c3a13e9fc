//! A requested update, and its documents for the server.

use postgres_protocol::escape::escape_literal;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::types::ToSql;

use super::condition::{Condition, IntoCondition};
use super::document::{Part, document};
use super::expression::{Expression, IntoExpression};
use super::filter::{Filter, together};
use super::unchanged;
use crate::error::Error;
use crate::statements;

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(super) key: Vec<(String, Part)>,
    pub(super) expected: Vec<(String, Condition)>,
    pub(super) filters: Vec<Filter>,
    pub(super) filters_sql: Vec<&'static str>,
    pub(super) values: Vec<(String, Expression)>,
    pub(super) changes_sql: Vec<(String, &'static str)>,
}

/// The arguments of `conditional_update` and similar functions.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(super) key: Value,
    pub(crate) values: Value,
    pub(crate) expected: Value,
    pub(crate) filter: Option<Value>,
    pub(super) filter_sql: Option<&'static str>,
    pub(super) changes_sql: Option<Value>,
}

impl Request {
    pub(crate) fn expect(&mut self, column: &str, condition: impl IntoCondition) {
        let condition = condition.into_condition();
        self.expected.push((column.to_owned(), condition));
    }

    pub(crate) fn expect_unchanged(&mut self, row: impl Serialize) {
        self.expected.extend(unchanged::columns(row));
    }

    pub(crate) fn only_if(&mut self, filter: impl Into<Filter>) {
        self.filters.push(filter.into());
    }

    pub(crate) fn set(&mut self, column: &str, value: impl IntoExpression) {
        let value = value.into_expression();
        self.values.push((column.to_owned(), value));
    }

    pub(crate) fn documents(&self) -> Result<Documents, Error> {
        let json = |map: Map<String, Value>| Value::Object(map);
        let changes_sql = document(self.changes_sql.clone(), |sql| Ok(Value::from(sql)))?;
        Ok(Documents {
            key: json(document(self.key.clone(), |part| part)?),
            values: json(document(self.values.clone(), Expression::into_json)?),
            expected: json(document(self.expected.clone(), Condition::into_json)?),
            filter: self.filter()?,
            filter_sql: self.filter_sql()?,
            changes_sql: (!changes_sql.is_empty()).then(|| json(changes_sql)),
        })
    }

    fn filter(&self) -> Result<Option<Value>, Error> {
        together(self.filters.clone()).transpose().map_err(|problem| invalid("filter", problem))
    }

    /// One text only: joined texts are unsafe, because a comment in one may swallow the rest.
    fn filter_sql(&self) -> Result<Option<&'static str>, Error> {
        match self.filters_sql[..] {
            [] => Ok(None),
            [sql] => Ok(Some(sql)),
            _ => Err(invalid("filter_sql", "is given twice".to_owned())),
        }
    }
}

impl Documents {
    /// In the order of [`CONDITIONAL_UPDATE`](statements::CONDITIONAL_UPDATE).
    pub(super) fn params<'a>(&'a self, table: &'a String, fence: &'a Option<i64>) -> [&'a (dyn ToSql + Sync); 8] {
        [&self.key, &self.values, fence, table, &self.expected, &self.filter, &self.filter_sql, &self.changes_sql]
    }

    /// A statement that takes the first of these as parameters and has the others as literals in it.
    pub(super) fn written(&self, table: &str) -> String {
        let mut arguments = vec![("expected", self.expected.to_string())];
        arguments.extend(self.filter.as_ref().map(|json| ("filter", json.to_string())));
        arguments.extend(self.filter_sql.map(|sql| ("filter_sql", sql.to_owned())));
        arguments.extend((self.changes_sql.as_ref()).map(|json| ("changes_sql", json.to_string())));
        let mut text = statements::UPDATE_WRITTEN[0].to_owned() + &escape_literal(table);
        for (name, argument) in arguments {
            text += &format!(", {name} => {}", escape_literal(&argument));
        }
        text + statements::UPDATE_WRITTEN[1]
    }
}

fn invalid(argument: &str, problem: String) -> Error {
    Error::InvalidDocument { column: argument.to_owned(), problem }
}
