//! What the documents mean: conditions, filters and values, as typed trees. No Postgres in here.
//!
//! This file reads each document as a whole; [`mod@filter`], [`condition`] and [`value`] read what is in it, down to
//! [`object`] and [`literal`].

mod condition;
mod filter;
mod literal;
mod object;
mod value;

pub use condition::{Choice, Comparison, Condition, Expectation};
pub use filter::{Exists, Filter, TARGET};
pub use literal::{Literal, Scalar, Value};
pub use object::Columns;
pub use value::{Arithmetic, Expression};

use crate::input::document::{Fault, Members, Path};
use literal::scalar;
use object::columns;
use serde_json::Value as Json;

/// Numbers the members of key, changes and expected. They must be read in this order, which is that of the cache key.
pub type Numbers = std::ops::RangeFrom<usize>;

/// Reads the columns that identify the row.
pub fn key(members: Members, numbers: &mut Numbers) -> Result<Columns<Scalar>, Fault> {
    const HINT: &str = "A key is made of scalars and null; conditions belong in expected.";
    columns(members.0, &Path::root("key"), |json, path| scalar(json, numbers.next(), path, HINT))
}

/// Reads what the columns are set to.
pub fn changes(members: Members, numbers: &mut Numbers) -> Result<Columns<Expression>, Fault> {
    columns(members.0, &Path::root("changes"), |json, path| value::expression(json, numbers.next(), path))
}

/// Reads what is expected of the row.
pub fn expected(members: Members, numbers: &mut Numbers) -> Result<Columns<Expectation>, Fault> {
    columns(members.0, &Path::root("expected"), |json, path| condition::expectation(json, numbers.next(), path))
}

/// Reads what else must hold.
pub fn filter(members: Members) -> Result<Filter, Fault> {
    let json = Json::Object(members.0.into_iter().collect());
    filter::filter(json, &Path::root("filter"))
}

/// Reads the columns that are set to what the caller's SQL says.
pub fn changes_sql(members: Members) -> Result<Columns<String>, Fault> {
    const HINT: &str = "Write the SQL of one expression; plain JSON belongs in changes.";
    columns(members.0, &Path::root("changes_sql"), |json, path| match json {
        Json::String(sql) => Ok(sql),
        _ => Err(path.fault("must be a string", HINT)),
    })
}

#[cfg(test)]
#[path = "../../tests/units/grammar/fuzz.rs"]
mod fuzz;
#[cfg(test)]
#[path = "../../tests/units/grammar/tests.rs"]
mod tests;
