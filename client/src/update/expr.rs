//! Values that a column is set to, or compared with.

use super::condition::Filter;
use crate::json::{Json, Part, array, json, object, operator, scalar};
use serde::Serialize;
use std::ops;

mod sealed {
    /// Keeps the two traits to the types of this module.
    pub trait Sealed {}
    impl Sealed for crate::update::Condition {}
    impl Sealed for super::Expr {}
    #[diagnostic::do_not_recommend]
    impl<T: serde::Serialize> Sealed for T {}
}
pub(super) use self::sealed::Sealed;

/// A value that the server computes from the row before the update: for
/// [`ConditionalUpdate::set`](crate::ConditionalUpdate::set) and comparisons. Made by [`column()`], [`value`], [`now`],
/// [`concat()`], [`when`], [`outer`], [`outer_of`], and by arithmetic: `column("size") + 1`, or `add(1,
/// column("size"))`.
#[derive(Debug, Clone)]
pub struct Expr(Result<Form, String>);

#[derive(Debug, Clone)]
enum Form {
    Literal(Json),
    Computed(Json),
    /// The branches of a `when` that may get more of them.
    Case(Vec<Json>),
}

/// What a column can be set to, or compared with: an [`Expr`], or a literal, `None` being `NULL`. Objects and arrays
/// are refused, so that data from outside can't pose as an operator; [`value`] takes them. So are NaN and infinities.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value for a column",
    label = "neither a literal nor an expression",
    note = "a value is a literal (of a type that implements `serde::Serialize`), `value(json)`, or an expression such \
            as `column(\"size\") + 1`, `now()` or `when(filter, value)`",
    note = "an `Expr` is passed by value: clone it to use it twice"
)]
pub trait IntoExpr: Sealed {
    /// Makes the expression.
    fn into_expr(self) -> Expr;
}

impl IntoExpr for Expr {
    fn into_expr(self) -> Expr {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> IntoExpr for T {
    fn into_expr(self) -> Expr {
        Expr(scalar(self).map(Form::Literal))
    }
}

impl Expr {
    /// JSON as the server reads it. Text has to be parsed first, since a string is a literal.
    pub fn raw(document: impl Serialize) -> Expr {
        Expr(json(document).map(Form::Computed))
    }

    /// After [`when`]: the value if this filter holds, and none of the filters before does.
    pub fn when(self, filter: Filter, then: impl IntoExpr) -> Expr {
        Expr(self.branches().and_then(|mut branches| {
            branches.push(object([("when", filter.0?), ("then", then.into_expr().into_json()?)])?);
            Ok(Form::Case(branches))
        }))
    }

    /// After [`when`]: the value if no filter holds, instead of `NULL`.
    pub fn otherwise(self, value: impl IntoExpr) -> Expr {
        let otherwise = |branches| object([("case", json(branches)?), ("else", value.into_expr().into_json()?)]);
        Expr(self.branches().and_then(otherwise).map(Form::Computed))
    }

    fn branches(self) -> Result<Vec<Json>, String> {
        match self.0? {
            Form::Case(branches) => Ok(branches),
            _ => Err("is given `.when` or `.otherwise` of what is no `when`, or after `otherwise`".to_owned()),
        }
    }

    pub(crate) fn into_json(self) -> Part {
        match self.0? {
            Form::Literal(json) | Form::Computed(json) => Ok(json),
            Form::Case(branches) => object([("case", json(branches)?)]),
        }
    }

    /// A literal or what is wrong with it, or back what is computed.
    pub(super) fn into_literal(self) -> Result<Part, Expr> {
        match self.0 {
            Ok(Form::Computed(_) | Form::Case(_)) => Err(self),
            _ => Ok(self.into_json()),
        }
    }
}

/// A column of the row as it is before the update; inside [`exists`](super::exists()), a column of that table.
pub fn column(name: &str) -> Expr {
    Expr(operator("column", json(name)).map(Form::Computed))
}

/// Inside [`exists`](super::exists()): a column of the row that is to be updated. In an `exists` inside of another one
/// the server refuses it: there, [`outer_of`] names the row.
pub fn outer(column: &str) -> Expr {
    Expr(operator("outer", json(column)).map(Form::Computed))
}

/// Inside [`exists`](super::exists()): a column of a row around it. The row has the name of its
/// [`exists_as`](super::exists_as), else its table's name without the schema; `"target"` is the row that is to be
/// updated.
pub fn outer_of(row: &str, column: &str) -> Expr {
    Expr(operator("outer", json([row, column])).map(Form::Computed))
}

/// Any JSON as a literal, such as `value(["fast", "encrypted"])`: for columns that hold json, jsonb, an array or a
/// composite type. It is never read as an operator, whatever is in it. JSON's `null` is a literal, too:
/// `value(None::<i32>)` is not `NULL` where a column holds JSON.
pub fn value(literal: impl Serialize) -> Expr {
    Expr(operator("value", json(literal)).map(Form::Literal))
}

/// The database's clock, the same in all places of one update.
pub fn now() -> Expr {
    Expr(operator("now", json(true)).map(Form::Computed))
}

/// The texts of `a` and `b`, joined. To join more, nest it: `concat(concat("error_", column("status")), "_by_user")`.
pub fn concat(a: impl IntoExpr, b: impl IntoExpr) -> Expr {
    binary("concat", a, b)
}

/// Begins a value that depends on the row, as SQL's `CASE` does: the value of the first filter that holds, or `NULL` if
/// none does. `when(is("status", "creating"), "error").otherwise(column("status"))` is one.
pub fn when(filter: Filter, then: impl IntoExpr) -> Expr {
    Expr(Ok(Form::Case(Vec::new()))).when(filter, then)
}

fn binary(name: &str, a: impl IntoExpr, b: impl IntoExpr) -> Expr {
    Expr(operator(name, array([a.into_expr().into_json(), b.into_expr().into_json()])).map(Form::Computed))
}

macro_rules! arithmetic {
    ($($name:ident $operator:ident $doc:literal)*) => {$(
        #[doc = $doc]
        pub fn $name(a: impl IntoExpr, b: impl IntoExpr) -> Expr {
            binary(stringify!($name), a, b)
        }

        impl<T: IntoExpr> ops::$operator<T> for Expr {
            type Output = Expr;
            fn $name(self, other: T) -> Expr {
                $name(self, other)
            }
        }
    )*};
}

arithmetic! {
    add Add "`a + b`."
    sub Sub "`a - b`."
    mul Mul "`a * b`."
    div Div "`a / b`; between integers the result is cut off towards zero, as in SQL."
}
