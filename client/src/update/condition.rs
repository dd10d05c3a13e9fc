//! What a column must be like.

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::scalar;

/// A demand on a column. See [`ConditionalUpdate::expect`](crate::ConditionalUpdate::expect).
#[derive(Debug, Clone)]
pub struct Condition(Result<Value, String>);

/// What can be demanded of a column: a [`Condition`], or any literal that serializes to a JSON scalar.
///
/// Objects and arrays are refused when the update is executed, so that data can't pose as a condition.
/// Floating-point numbers that JSON doesn't have (NaN, infinities) serialize to `null`.
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
        Condition(scalar(self))
    }
}

impl Condition {
    /// Whether [`not()`] matches a column that is `NULL`: yes unless told, or unless `NULL` is among what it
    /// excludes.
    pub fn nulls_match(self, matches: bool) -> Condition {
        Condition(self.0.and_then(|json| match json {
            Value::Object(mut operator) => {
                operator.insert("null".to_owned(), Value::Bool(matches));
                Ok(Value::Object(operator))
            }
            _ => Err("says `nulls_match` of a condition that is no `not`".to_owned()),
        }))
    }

    pub(super) fn into_json(self) -> Result<Value, String> {
        self.0
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
pub fn one_of<T: Serialize>(choices: impl IntoIterator<Item = T>) -> Condition {
    let choices: Result<Vec<Value>, String> = choices.into_iter().map(scalar).collect();
    Condition(choices.map(Value::Array))
}

/// Holds if the column is none of these: a literal, or [`one_of`] several.
///
/// A column that is `NULL` matches, unless `NULL` is among them, or [`Condition::nulls_match`] says no.
///
/// ```
/// use volguard::{not, one_of};
///
/// not("attached");
/// not(one_of(["attaching", "attached"])).nulls_match(false);
/// ```
pub fn not(condition: impl IntoCondition) -> Condition {
    Condition(condition.into_condition().0.and_then(|json| match json {
        Value::Object(_) => Err("negates a negation".to_owned()),
        excluded => Ok(Value::Object(Map::from_iter([(
            "not".to_owned(),
            excluded,
        )]))),
    }))
}
