//! Literals.

use serde::Serialize;
use serde_json::Value;

use super::document::{Part, operator};

/// A value that is never read as an operator, whatever is in it. Made by [`value()`].
#[derive(Debug, Clone)]
pub struct Literal(Part);

/// A literal: anything that serializes to a JSON scalar, or a [`value()`].
///
/// Objects and arrays are refused when the update is executed, so that data from outside can't pose as a condition.
/// Floating-point numbers that JSON doesn't have (NaN, infinities) serialize to `null`.
pub trait IntoLiteral {
    /// Makes the literal.
    fn into_literal(self) -> Literal;
}

impl IntoLiteral for Literal {
    fn into_literal(self) -> Literal {
        self
    }
}

impl<T: Serialize> IntoLiteral for T {
    fn into_literal(self) -> Literal {
        Literal(scalar(self))
    }
}

impl Literal {
    pub(super) fn into_json(self) -> Part {
        self.0
    }
}

/// Any JSON as a literal: for columns that hold json, jsonb, an array or a composite type.
///
/// JSON's `null` is a literal, too: `value(None::<i32>)` is not `NULL` where a column holds JSON.
///
/// ```
/// use serde_json::json;
/// use volguard::{is, value};
///
/// value(["fast", "encrypted"]);
/// is("metadata", value(json!({"not": "an operator"})));
/// ```
pub fn value(json: impl Serialize) -> Literal {
    Literal(to_json(json).map(|json| operator("value", json)))
}

/// A literal as it stands in a document: a scalar, because an object would read as an operator, and an array as a
/// list of choices. Data must never turn into either.
pub(super) fn scalar(value: impl Serialize) -> Part {
    match to_json(value)? {
        Value::Object(_) => Err("is given an object, which is no literal (use `value` for JSON)".to_owned()),
        Value::Array(_) => {
            Err("is given an array, which is no literal (use `one_of` for choices, `value` for JSON)".to_owned())
        }
        scalar => Ok(scalar),
    }
}

fn to_json(value: impl Serialize) -> Part {
    serde_json::to_value(value).map_err(|error| format!("is given a value that is no JSON: {error}"))
}
