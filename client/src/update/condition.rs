//! Conditions on one column.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::expr::IntoExpr;
use super::sealed::Sealed;
use crate::error::Error;
use crate::json::{Json, Part, array, invalid, json};

/// A condition on a column: for [`ConditionalUpdate::expect`](crate::ConditionalUpdate::expect) and [`is`](super::is).
/// Made by [`one_of`], [`not`], [`lt`], [`le`], [`gt`], [`ge`], [`eq`] and [`ne`].
#[derive(Debug, Clone)]
pub struct Condition(Result<Form, String>);

#[derive(Debug, Clone)]
enum Form {
    /// A literal, several of them, or JSON as given.
    Plain(Json),
    Negated(BTreeMap<&'static str, Json>),
    Compared(BTreeMap<&'static str, Json>),
}

/// What can be a condition on a column: a [`Condition`]; a literal, which is anything that serializes to a JSON scalar,
/// `None` being `NULL`; or an [`Expr`](super::Expr), which the column must equal.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no condition on a column",
    label = "neither a condition nor a literal",
    note = "a condition is a literal (of a type that implements `serde::Serialize`), `one_of([...])`, `not(...)`, a \
            comparison such as `lt(...)`, or an expression such as `column(\"size\") + 1`",
    note = "a `Filter` goes to `only_if` or `unless`, and its negation is `!filter`",
    note = "a `Condition` or an `Expr` is passed by value: clone it to use it twice"
)]
pub trait IntoCondition: Sealed {
    /// Makes the condition.
    fn into_condition(self) -> Condition;
}

impl IntoCondition for Condition {
    fn into_condition(self) -> Condition {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T: IntoExpr> IntoCondition for T {
    fn into_condition(self) -> Condition {
        self.into_expr().into_literal().map_or_else(eq, |literal| Condition(literal.map(Form::Plain)))
    }
}

impl Condition {
    /// A condition as the server reads it. Text has to be parsed first, since a string is a literal.
    pub fn raw(json: impl Serialize) -> Condition {
        Condition(crate::json::json(json).map(Form::Plain))
    }

    /// After [`not`]: whether a column that is `NULL` matches. Default: it does, unless `NULL` is among the excluded
    /// values. As in Python, `NULL` is not "attached". In SQL the result is unknown:
    /// `not("attached").nulls_match(false)` is `attach_status <> 'attached'`.
    pub fn nulls_match(self, matches: bool) -> Condition {
        Condition(self.0.and_then(|form| match form {
            Form::Negated(mut members) => {
                members.insert("null", json(matches)?);
                Ok(Form::Negated(members))
            }
            _ => Err("is given `nulls_match`, which only `not` has".to_owned()),
        }))
    }

    /// Adds another comparison of the same column: `ge(1).and(lt(column("quota")))` is a range.
    pub fn and(self, other: Condition) -> Condition {
        Condition(self.0.and_then(|form| match (form, other.0?) {
            (Form::Compared(mut all), Form::Compared(others)) => {
                for (name, operand) in others {
                    if all.insert(name, operand).is_some() {
                        return Err(format!("is compared twice by `{name}`"));
                    }
                }
                Ok(Form::Compared(all))
            }
            _ => Err("is given `and` of what is no comparison (use `is(...) & is(...)`)".to_owned()),
        }))
    }

    /// The condition as JSON, for SQL of your own. [`Error::InvalidDocument`] if it can't be a condition.
    pub fn to_json(&self) -> Result<Box<RawValue>, Error> {
        self.clone().into_json().map_err(|problem| invalid("condition", problem))
    }

    pub(crate) fn into_json(self) -> Part {
        match self.0? {
            Form::Plain(json) => Ok(json),
            Form::Negated(members) | Form::Compared(members) => json(members),
        }
    }
}

/// Holds if the column equals one of these literals: `one_of(["available", "error"])`. `None` stands for `NULL`.
pub fn one_of<T: IntoExpr>(choices: impl IntoIterator<Item = T>) -> Condition {
    let computed = |_| Err("is given `one_of` an expression (use `any([is(...), ...])`)".to_owned());
    let literal = |choice: T| choice.into_expr().into_literal().unwrap_or_else(computed);
    Condition(array(choices.into_iter().map(literal)).map(Form::Plain))
}

/// Holds if the column is none of these: a literal, or [`one_of`] several. A column that is `NULL` matches, unless
/// `NULL` is among them, or [`nulls_match`](Condition::nulls_match) says no. A comparison has an opposite instead, such
/// as [`ne`]; a filter is negated by `!`.
pub fn not(excluded: impl IntoCondition) -> Condition {
    Condition(excluded.into_condition().0.and_then(|form| match form {
        Form::Plain(excluded) => Ok(Form::Negated(BTreeMap::from([("not", excluded)]))),
        _ => Err("is given `not` of a `not` or a comparison (use the opposite, or `!is(...)`)".to_owned()),
    }))
}

macro_rules! comparisons {
    ($($name:ident $doc:literal)*) => {$(
        #[doc = $doc]
        pub fn $name(operand: impl IntoExpr) -> Condition {
            let operand = operand.into_expr().into_json();
            Condition(operand.map(|operand| Form::Compared(BTreeMap::from([(stringify!($name), operand)]))))
        }
    )*};
}

comparisons! {
    lt "The column is less than this. Like the other three that order, it doesn't hold if either is `NULL`."
    le "The column is less than this, or equal."
    gt "The column is greater than this, such as `now() - \"5 minutes\"`."
    ge "The column is greater than this, or equal."
    eq "The column equals this. `NULL` is a value like any other: two that are `NULL` are equal."
    ne "The column doesn't equal this. `NULL` is a value like any other."
}
