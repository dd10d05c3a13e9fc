//! Comparisons of a column with a value, another column, or a value computed from them.

use serde_json::{Map, Value};

use super::condition::{Condition, IntoCondition};
use super::document::Part;
use super::expression::IntoExpression;

/// One comparison, or several that all must hold. Made by [`lt`], [`le`], [`gt`], [`ge`], [`eq`] and [`ne`].
#[derive(Debug, Clone)]
pub struct Comparison(Result<Map<String, Value>, String>);

impl Comparison {
    /// Adds another comparison of the same column: a range.
    ///
    /// ```
    /// use volguard::{column, ge, lt};
    ///
    /// ge(1).and(lt(column("quota") - column("used")));
    /// ```
    pub fn and(self, other: Comparison) -> Comparison {
        Comparison(self.0.and_then(|mut all| {
            for (name, operand) in other.0? {
                if all.contains_key(&name) {
                    return Err(format!("is compared twice by `{name}`"));
                }
                all.insert(name, operand);
            }
            Ok(all)
        }))
    }

    fn new(name: &str, operand: impl IntoExpression) -> Comparison {
        let operand: Part = operand.into_expression().into_json();
        Comparison(operand.map(|operand| Map::from_iter([(name.to_owned(), operand)])))
    }
}

impl IntoCondition for Comparison {
    fn into_condition(self) -> Condition {
        Condition::new(self.0.map(Value::Object))
    }
}

/// The column is less than this. Like the other three that order, it doesn't hold if either is `NULL`.
pub fn lt(operand: impl IntoExpression) -> Comparison {
    Comparison::new("lt", operand)
}

/// The column is less than this, or equal.
pub fn le(operand: impl IntoExpression) -> Comparison {
    Comparison::new("le", operand)
}

/// The column is greater than this.
///
/// ```
/// use volguard::{column, gt, now, sub};
///
/// gt(10);
/// gt(column("allocated") * 2);
/// gt(sub(now(), "5 minutes"));
/// ```
pub fn gt(operand: impl IntoExpression) -> Comparison {
    Comparison::new("gt", operand)
}

/// The column is greater than this, or equal.
pub fn ge(operand: impl IntoExpression) -> Comparison {
    Comparison::new("ge", operand)
}

/// The column equals this. `NULL` is a value like any other: two that are `NULL` are equal.
pub fn eq(operand: impl IntoExpression) -> Comparison {
    Comparison::new("eq", operand)
}

/// The column doesn't equal this. `NULL` is a value like any other.
pub fn ne(operand: impl IntoExpression) -> Comparison {
    Comparison::new("ne", operand)
}
