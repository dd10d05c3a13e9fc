//! Values that depend on the row.

use serde_json::{Map, Value};

use super::document::Part;
use super::expression::{Expression, IntoExpression};
use super::filter::Filter;

/// The value of the first filter that holds, or `NULL` if none does. Made by [`when`]; [`otherwise`](Case::otherwise)
/// replaces that `NULL`.
#[derive(Debug, Clone)]
pub struct Case(Vec<(Filter, Expression)>);

impl Case {
    /// The value if this filter holds, and none of the filters before does.
    pub fn when(mut self, filter: impl Into<Filter>, then: impl IntoExpression) -> Case {
        self.0.push((filter.into(), then.into_expression()));
        self
    }

    /// The value if no filter holds.
    pub fn otherwise(self, value: impl IntoExpression) -> Expression {
        let value = value.into_expression();
        Expression::new(self.branches().and_then(|mut case| {
            case.insert("else".to_owned(), value.into_json()?);
            Ok(Value::Object(case))
        }))
    }

    fn branches(self) -> Result<Map<String, Value>, String> {
        let branches = self.0.into_iter().map(branch);
        let branches = branches.collect::<Result<_, _>>().map(Value::Array)?;
        Ok(Map::from_iter([("case".to_owned(), branches)]))
    }
}

fn branch((filter, then): (Filter, Expression)) -> Part {
    Ok(Value::Object(Map::from_iter([
        ("when".to_owned(), filter.into_json()?),
        ("then".to_owned(), then.into_json()?),
    ])))
}

impl IntoExpression for Case {
    fn into_expression(self) -> Expression {
        Expression::new(self.branches().map(Value::Object))
    }
}

/// Begins a value that depends on the row: `CASE WHEN filter THEN value`.
///
/// ```
/// use volguard::{column, is, when};
///
/// when(is("status", "creating"), "error")
///     .when(is("status", "extending"), "error_extending")
///     .otherwise(column("previous_status"));
/// ```
pub fn when(filter: impl Into<Filter>, then: impl IntoExpression) -> Case {
    Case(Vec::new()).when(filter, then)
}
