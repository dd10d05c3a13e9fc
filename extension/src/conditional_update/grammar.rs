//! What the documents mean: conditions, filters and values, as typed trees. No Postgres in here.
//!
//! Each kind has a file: [`condition`], [`mod@filter`], [`value`].

mod condition;
mod filter;
mod value;

pub use condition::{Choice, Comparison, Condition, Expectation};
pub use filter::{Exists, Filter};
pub use value::{Arithmetic, Expression};

use crate::input::document::{Fault, Members, Path};
use serde_json::{Map, Value as Json};

/// A value that stands in a document as it is. Which type it is of, the column says that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    Text(String),
    /// With every digit as written.
    Number(String),
    Boolean(bool),
    /// A list, an object, or the null of JSON, which is no NULL where a column holds JSON.
    Json(Json),
}

/// `None` is NULL.
pub type Scalar = Option<Literal>;

/// The columns that a document names, in its order.
pub type Columns<T> = Vec<(String, T)>;

/// Reads the columns that identify the row.
pub fn key(members: Members, path: &Path) -> Result<Columns<Scalar>, Fault> {
    columns(members.0, path, |json, path| {
        scalar(
            json,
            path,
            "A key is made of scalars and null; conditions belong into expected.",
        )
    })
}

/// Reads what is expected of the row.
pub fn expectations(members: Members, path: &Path) -> Result<Columns<Expectation>, Fault> {
    columns(members.0, path, condition::expectation)
}

/// Reads what else must hold.
pub fn filter(members: Members, path: &Path) -> Result<Filter, Fault> {
    filter::filter(Json::Object(members.0.into_iter().collect()), path)
}

/// Reads what the columns are set to.
pub fn changes(members: Members, path: &Path) -> Result<Columns<Expression>, Fault> {
    columns(members.0, path, value::expression)
}

/// Reads the columns that are set to what SQL of the caller says.
pub fn changes_sql(members: Members, path: &Path) -> Result<Columns<String>, Fault> {
    columns(members.0, path, |json, path| match json {
        Json::String(sql) => Ok(sql),
        _ => Err(path.fault(
            "must be a string",
            "Write the SQL of one expression; what is plain JSON belongs into changes.",
        )),
    })
}

fn columns<T>(
    members: impl IntoIterator<Item = (String, Json)>,
    path: &Path,
    read: impl Fn(Json, &Path) -> Result<T, Fault>,
) -> Result<Columns<T>, Fault> {
    let read = |(name, json): (String, Json)| {
        let member = read(json, &path.member(&name))?;
        Ok((name, member))
    };
    members.into_iter().map(read).collect()
}

/// Reads `{"value": anything}` of any operator object; `None` for another object.
fn wrapped(object: &mut Map<String, Json>) -> Option<Literal> {
    match object.len() {
        1 => object.remove("value").map(literal),
        _ => None,
    }
}

fn literal(json: Json) -> Literal {
    match json {
        Json::Bool(boolean) => Literal::Boolean(boolean),
        Json::Number(number) => Literal::Number(number.to_string()),
        Json::String(text) => Literal::Text(text),
        composed => Literal::Json(composed),
    }
}

fn scalar(json: Json, path: &Path, hint: &str) -> Result<Scalar, Fault> {
    match json {
        Json::Null => Ok(None),
        Json::Array(_) => Err(path.fault("must not be a list", hint)),
        Json::Object(_) => Err(path.fault("must not be an object", hint)),
        scalar => Ok(Some(literal(scalar))),
    }
}

/// The one member that an object must have: an operator and its argument.
fn only_member(json: Json, path: &Path, hint: &str) -> Result<(String, Json), Fault> {
    let Json::Object(object) = json else {
        return Err(path.fault("must be an object", hint));
    };
    let mut members = object.into_iter();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(path.fault("must name one operator", hint)),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
