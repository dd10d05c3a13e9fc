//! Values that a column is set to.

use std::ops;

use serde::Serialize;
use serde_json::Value;

use super::document::{Part, operator};
use super::literal::{IntoLiteral, Literal};

/// A value that the server computes from the row before the update. See
/// [`ConditionalUpdate::set`](crate::ConditionalUpdate::set).
///
/// Made by [`column()`], [`now`], [`concat()`], [`when`](crate::when), and by arithmetic, as functions or as operators:
///
/// ```
/// use volguard::{add, column, mul};
///
/// column("size") + 1;
/// add(column("size"), mul(2, column("spare"))); // the same way, for a literal on the left
/// ```
#[derive(Debug, Clone)]
pub struct Expression(Part);

/// What a column can be set to, or compared with: an [`Expression`], [`when`](crate::when), or a literal
/// ([`IntoLiteral`]).
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
        self.into_literal().into_expression()
    }
}

impl IntoExpression for Literal {
    fn into_expression(self) -> Expression {
        Expression(self.into_json())
    }
}

impl Expression {
    pub(super) fn new(json: Part) -> Expression {
        Expression(json)
    }

    pub(super) fn operator(name: &str, operand: Value) -> Expression {
        Expression(Ok(operator(name, operand)))
    }

    pub(crate) fn into_json(self) -> Result<Value, String> {
        self.0
    }
}

/// A column of the row as it is before the update; inside [`exists`](crate::exists()), a column of that table.
pub fn column(name: &str) -> Expression {
    Expression::operator("column", Value::from(name))
}

/// The database's clock, the same in all places of one update.
pub fn now() -> Expression {
    Expression::operator("now", Value::Bool(true))
}

/// The texts of `a` and `b`, joined. To join more, nest it: `concat(concat(a, b), c)`.
///
/// ```
/// use volguard::{column, concat};
///
/// concat("error_", column("status"));
/// ```
pub fn concat(a: impl IntoExpression, b: impl IntoExpression) -> Expression {
    let both = pair(a, b).map(|parts| Value::Array(parts.into_iter().flat_map(joined).collect()));
    Expression(both.map(|parts| operator("concat", parts)))
}

/// The parts of one value for the common list: those of a `concat` go into it one by one.
fn joined(part: Value) -> Vec<Value> {
    match part {
        Value::Object(mut object) if object.contains_key("concat") => match object.remove("concat") {
            Some(Value::Array(parts)) => parts,
            other => other.into_iter().collect(),
        },
        other => vec![other],
    }
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
    Expression(pair(a, b).map(|operands| operator(name, Value::Array(operands))))
}

fn pair(a: impl IntoExpression, b: impl IntoExpression) -> Result<Vec<Value>, String> {
    Ok(vec![a.into_expression().0?, b.into_expression().0?])
}
