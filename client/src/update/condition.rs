//! Conditions on one column, and filters of rows.

use super::expr::{IntoExpr, Sealed};
use crate::json::{Json, Part, array, json, object, operator};
use serde::Serialize;
use std::{collections::BTreeMap, ops};

/// A condition on a column: for [`ConditionalUpdate::expect`](crate::ConditionalUpdate::expect) and [`is`]. Made by
/// [`one_of`], [`not`], [`lt`], [`le`], [`gt`], [`ge`], [`eq`] and [`ne`].
#[derive(Debug, Clone)]
pub struct Condition(Result<Form, String>);

#[derive(Debug, Clone)]
enum Form {
    /// A literal, several of them, or JSON as given.
    Plain(Json),
    Negated(BTreeMap<&'static str, Json>),
    Compared(BTreeMap<&'static str, Json>),
}

/// What can be a condition on a column: a [`Condition`]; a literal or [`Expr`](super::Expr) means that it is equal.
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
    /// JSON as the server reads it. Text has to be parsed first, since a string is a literal.
    pub fn raw(document: impl Serialize) -> Condition {
        Condition(json(document).map(Form::Plain))
    }

    /// After [`not`]: whether a column that is `NULL` matches. Default: it does, unless `NULL` is among the excluded
    /// values. In SQL the result is unknown: `not("attached").nulls_match(false)` is `attach_status <> 'attached'`.
    pub fn nulls_match(self, matches: bool) -> Condition {
        Condition(self.0.and_then(|form| {
            let Form::Negated(mut members) = form else {
                return Err("is given `nulls_match`, which only `not` has".to_owned());
            };
            members.insert("null", json(matches)?);
            Ok(Form::Negated(members))
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
/// `NULL` is among them, or [`nulls_match`](Condition::nulls_match) says no. Comparisons have opposites; filters have
/// `!`.
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

/// A condition that the row as a whole meets or not, such as `is("status", "error") | is("size", gt(0))`. `a & b` and
/// `a | b` say the same as [`all`] and [`any`]. `!a` is the plain opposite: a filter that is unknown in SQL doesn't
/// hold, so its negation does.
#[derive(Debug, Clone)]
pub struct Filter(pub(super) Part);

impl Filter {
    /// JSON as the server reads it. Text has to be parsed first, since a string is a literal.
    pub fn raw(document: impl Serialize) -> Filter {
        Filter(json(document))
    }
}

/// The column meets a condition: a literal, [`one_of`] several, [`not`] them, or a comparison, as in `is("used",
/// lt(9))`.
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

/// Holds if `table`, a name as in SQL, has a row that meets the filter, as in `exists("snapshots", is("volume_id",
/// outer("id")))`; `all([])` is any row. In the filter, [`column`](super::column()) and [`is`] are of that row,
/// [`outer`](super::outer) of the one to be updated.
pub fn exists(table: &str, filter: Filter) -> Filter {
    let row = filter.0.and_then(|filter| object([("table", json(table)?), ("filter", filter)]));
    Filter(operator("exists", row))
}

/// As [`exists`], with a name for the row: in an `exists` inside of this one, [`outer_of`](super::outer_of) refers to
/// it. For example a pool that has a volume with a snapshot: `exists_as("volumes", "v", is("pool_id", outer("id")) &
/// exists("snapshots", is("volume_id", outer_of("v", "id"))))`.
pub fn exists_as(table: &str, name: &str, filter: Filter) -> Filter {
    let row = filter.0.and_then(|filter| object([("table", json(table)?), ("as", json(name)?), ("filter", filter)]));
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
