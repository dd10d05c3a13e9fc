//! Literals: the values that stand in a document as they are.

use crate::input::document::{Fault, Path};
use serde_json::{Map, Value as Json};

/// A value that stands in a document as it is. Its type is that of the column that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    pub value: Value,
    /// Private, so that no other file can make a literal anew and lose it.
    member: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// With every digit as written.
    Number(String),
    Boolean(bool),
    /// A list, an object, or the null of JSON, which is no NULL where a column holds JSON.
    Json(Json),
}

/// `None` is NULL.
pub type Scalar = Option<Literal>;

impl Literal {
    pub fn new(value: Value, member: Option<usize>) -> Self {
        Literal { value, member }
    }

    /// Set if this is the whole of a member of key, changes or expected: the member's number, counted through all
    /// three. It tells a cached update which scalar of the next call takes the place of this one.
    pub fn member(&self) -> Option<usize> {
        self.member
    }
}

/// Any JSON. `member` is its number if it is a scalar and a member as a whole.
pub fn literal(json: Json, member: Option<usize>) -> Literal {
    let value = match json {
        Json::Bool(boolean) => Value::Boolean(boolean),
        Json::Number(number) => Value::Number(number.to_string()),
        Json::String(text) => Value::Text(text),
        composed => Value::Json(composed),
    };
    Literal::new(value, member)
}

/// A scalar or null. `member` is as in [`literal`].
pub fn scalar(json: Json, member: Option<usize>, path: &Path, hint: &str) -> Result<Scalar, Fault> {
    match json {
        Json::Null => Ok(None),
        Json::Array(_) => Err(path.fault("must not be a list", hint)),
        Json::Object(_) => Err(path.fault("must not be an object", hint)),
        scalar => Ok(Some(literal(scalar, member))),
    }
}

/// Reads `{"value": anything}` of any operator object; `None` for another object.
pub fn wrapped(object: &mut Map<String, Json>) -> Option<Literal> {
    match object.len() {
        1 => object.remove("value").map(|json| literal(json, None)),
        _ => None,
    }
}
