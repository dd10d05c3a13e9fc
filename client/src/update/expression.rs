//! What a column is set to.

use std::ops;

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::scalar;

/// A value computed by the server. See [`ConditionalUpdate::set`](crate::ConditionalUpdate::set).
///
/// Made by [`column()`] and the arithmetic on it, as functions or as operators:
///
/// ```
/// use volguard::{add, column, mul};
///
/// column("size") + 1;
/// add(column("size"), mul(2, column("spare"))); // the same way, for a literal on the left
/// ```
#[derive(Debug, Clone)]
pub struct Expression(Result<Value, String>);

/// What a column can be set to: an [`Expression`], or any literal that serializes to a JSON scalar.
///
/// Objects and arrays are refused when the update is executed, so that data can't pose as an expression.
/// Floating-point numbers that JSON doesn't have (NaN, infinities) serialize to `null`.
pub trait IntoExpression {
    /// Makes the expression.
    fn into_expression(self) -> Expression;
}

impl IntoExpression for Expression {
    fn into_expression(self) -> Expression {
        self
    }
}

impl<T: Serialize> IntoExpression for T {
    fn into_expression(self) -> Expression {
        Expression(scalar(self))
    }
}

impl Expression {
    pub(crate) fn into_json(self) -> Result<Value, String> {
        self.0
    }
}

/// A column of the row as it is before the update.
pub fn column(name: &str) -> Expression {
    Expression(Ok(operator("column", Value::from(name))))
}

/// `a + b`.
pub fn add(a: impl IntoExpression, b: impl IntoExpression) -> Expression {
    arithmetic("add", a, b)
}

/// `a - b`.
pub fn sub(a: impl IntoExpression, b: impl IntoExpression) -> Expression {
    arithmetic("sub", a, b)
}

/// `a * b`.
pub fn mul(a: impl IntoExpression, b: impl IntoExpression) -> Expression {
    arithmetic("mul", a, b)
}

/// `a / b`; between integers the result is cut off towards zero, as in SQL.
pub fn div(a: impl IntoExpression, b: impl IntoExpression) -> Expression {
    arithmetic("div", a, b)
}

impl<T: IntoExpression> ops::Add<T> for Expression {
    type Output = Expression;

    fn add(self, other: T) -> Expression {
        add(self, other)
    }
}

impl<T: IntoExpression> ops::Sub<T> for Expression {
    type Output = Expression;

    fn sub(self, other: T) -> Expression {
        sub(self, other)
    }
}

impl<T: IntoExpression> ops::Mul<T> for Expression {
    type Output = Expression;

    fn mul(self, other: T) -> Expression {
        mul(self, other)
    }
}

impl<T: IntoExpression> ops::Div<T> for Expression {
    type Output = Expression;

    fn div(self, other: T) -> Expression {
        div(self, other)
    }
}

fn arithmetic(name: &str, a: impl IntoExpression, b: impl IntoExpression) -> Expression {
    let operands = a
        .into_expression()
        .0
        .and_then(|a| Ok(vec![a, b.into_expression().0?]));
    Expression(operands.map(|operands| operator(name, Value::Array(operands))))
}

fn operator(name: &str, operand: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), operand)]))
}
