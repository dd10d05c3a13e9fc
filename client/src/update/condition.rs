//! Conditions on a column: one of some values, or none of them.

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::Part;
use super::exists::Exists;
use super::filter::Filter;
use super::literal::{IntoLiteral, Literal};

/// A condition on a column. See [`ConditionalUpdate::expect`](crate::ConditionalUpdate::expect).
#[derive(Debug, Clone)]
pub struct Condition(Part);

/// What can be a condition on a column: a literal ([`IntoLiteral`]), [`one_of`] several, [`not()`], or a comparison
/// ([`lt`](crate::lt), [`le`](crate::le), [`gt`](crate::gt), [`ge`](crate::ge), [`eq`](crate::eq), [`ne`](crate::ne)).
pub trait IntoCondition {
    /// Makes the condition.
    fn into_condition(self) -> Condition;
}

impl IntoCondition for Condition {
    fn into_condition(self) -> Condition {
        self
    }
}

impl<T: Serialize> IntoCondition for T {
    fn into_condition(self) -> Condition {
        self.into_literal().into_condition()
    }
}

impl IntoCondition for Literal {
    fn into_condition(self) -> Condition {
        Condition(self.into_json())
    }
}

impl Condition {
    pub(super) fn new(json: Part) -> Condition {
        Condition(json)
    }

    pub(super) fn into_json(self) -> Part {
        self.0
    }
}

/// Several values, `NULL` among them if it is given. Made by [`one_of`].
#[derive(Debug, Clone)]
pub struct Choice(Part);

impl IntoCondition for Choice {
    fn into_condition(self) -> Condition {
        Condition(self.0)
    }
}

/// Holds if the column equals one of these, `None` standing for `NULL`.
///
/// ```
/// use volguard::one_of;
///
/// one_of(["available", "error"]);
/// one_of([Some("available"), None]);
/// ```
pub fn one_of<T: IntoLiteral>(choices: impl IntoIterator<Item = T>) -> Choice {
    let choices = choices.into_iter().map(|one| one.into_literal().into_json());
    Choice(choices.collect::<Result<Vec<Value>, _>>().map(Value::Array))
}

/// None of some values. Made by [`not()`].
#[derive(Debug, Clone)]
pub struct Negation {
    excluded: Part,
    nulls_match: Option<bool>,
}

impl Negation {
    /// Whether a column that is `NULL` matches. Default: it does, unless `NULL` is among the excluded values: as in
    /// Python, `NULL` is not "attached". In SQL the result is unknown: `not("attached").nulls_match(false)` is
    /// `attach_status <> 'attached'`.
    pub fn nulls_match(self, matches: bool) -> Negation {
        Negation { nulls_match: Some(matches), ..self }
    }
}

impl IntoCondition for Negation {
    fn into_condition(self) -> Condition {
        Condition(self.excluded.map(|excluded| {
            let mut operator = Map::from_iter([("not".to_owned(), excluded)]);
            if let Some(matches) = self.nulls_match {
                operator.insert("null".to_owned(), Value::Bool(matches));
            }
            Value::Object(operator)
        }))
    }
}

/// What can be negated: a literal, [`one_of`] several, and filters.
pub trait Negate {
    /// What the negation is: a [`Negation`] of values, a [`Filter`] of filters.
    type Output;

    /// See [`not()`].
    fn negate(self) -> Self::Output;
}

impl<T: Serialize> Negate for T {
    type Output = Negation;

    fn negate(self) -> Negation {
        self.into_literal().negate()
    }
}

impl Negate for Literal {
    type Output = Negation;

    fn negate(self) -> Negation {
        Negation { excluded: self.into_json(), nulls_match: None }
    }
}

impl Negate for Choice {
    type Output = Negation;

    fn negate(self) -> Negation {
        Negation { excluded: self.0, nulls_match: None }
    }
}

impl Negate for Filter {
    type Output = Filter;

    fn negate(self) -> Filter {
        self.negated()
    }
}

impl Negate for Exists {
    type Output = Filter;

    fn negate(self) -> Filter {
        Filter::from(self).negated()
    }
}

/// Holds if the column is none of these (a literal, or [`one_of`] several), or if a [`Filter`] doesn't hold.
///
/// A column that is `NULL` matches, unless `NULL` is among the excluded values, or [`Negation::nulls_match`] says no.
/// The negation of a filter is its plain opposite: a filter that is unknown in SQL doesn't hold, so its negation does.
///
/// ```
/// use volguard::{is, not, one_of};
///
/// not("attached");
/// not(one_of(["attaching", "attached"])).nulls_match(false);
/// not(is("status", "in-use"));
/// ```
///
/// A negation is not a value, so it can't be negated again:
///
/// ```compile_fail
/// volguard::not(volguard::not("attached"));
/// ```
pub fn not<T: Negate>(what: T) -> T::Output {
    what.negate()
}
