//! Filters: conditions on several columns and on other tables, combined.

use super::condition::{Condition, condition};
use super::object::{self, Columns, columns};
use crate::input::document::{Fault, Path};
use serde_json::Value as Json;

/// A filter holds or it does not: a condition that is NULL in SQL does not hold, so its `not` holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Where(Columns<Condition>),
    Exists(Box<Exists>),
}

/// There is a row in another table, or in the same one.
#[derive(Debug, PartialEq, Eq)]
pub struct Exists {
    /// As in SQL: with or without its schema, quoted where that is needed.
    pub table: String,
    /// What `outer` calls its row, in an `exists` inside of this one. Default: the table's name, without its schema.
    pub name: Option<String>,
    pub conditions: Columns<Condition>,
    /// About that row.
    pub filter: Option<Filter>,
}

const FILTERS: &str = r#"A filter is {"all": [filters]}, {"any": [filters]}, {"not": filter}, {"where": {column: condition}}, or {"exists": {"table": name, "as": name, "where": {column: condition}, "filter": filter}}."#;

/// What `outer` calls the row that is updated.
pub const TARGET: &str = "target";

pub fn filter(json: Json, path: &Path) -> Result<Filter, Fault> {
    let (operator, argument) = object::operator(json, path, FILTERS)?;
    let path = path.member(&operator);
    match operator.as_str() {
        "all" => Ok(Filter::All(filters(argument, &path)?)),
        "any" => Ok(Filter::Any(filters(argument, &path)?)),
        "not" => Ok(Filter::Not(Box::new(filter(argument, &path)?))),
        "where" => Ok(Filter::Where(conditions(argument, &path)?)),
        "exists" => Ok(Filter::Exists(Box::new(exists(argument, &path)?))),
        _ => Err(path.fault("unknown operator", FILTERS)),
    }
}

fn filters(json: Json, path: &Path) -> Result<Vec<Filter>, Fault> {
    let Json::Array(items) = json else {
        return Err(path.fault("must be a list of filters", FILTERS));
    };
    let items = items.into_iter().enumerate();
    items.map(|(at, item)| filter(item, &path.item(at))).collect()
}

fn conditions(json: Json, path: &Path) -> Result<Columns<Condition>, Fault> {
    match json {
        Json::Object(object) => columns(object, path, condition),
        _ => Err(path.fault("must be an object of columns and conditions", FILTERS)),
    }
}

fn exists(json: Json, path: &Path) -> Result<Exists, Fault> {
    const TABLE: &str = r#"Name a table, as SQL does: "snapshots", or "billing.invoices"."#;
    let Json::Object(mut object) = json else {
        return Err(path.fault("must be an object", FILTERS));
    };
    let table = match object.remove("table") {
        Some(Json::String(table)) => table,
        Some(_) => return Err(path.member("table").fault("must be a string", TABLE)),
        None => return Err(path.member("table").fault("is missing", TABLE)),
    };
    let name = match object.remove("as") {
        Some(json) => Some(name(json, &path.member("as"))?),
        None => None,
    };
    let conditions = match object.remove("where") {
        Some(json) => conditions(json, &path.member("where"))?,
        None => Vec::new(),
    };
    let filter = match object.remove("filter") {
        Some(json) => Some(filter(json, &path.member("filter"))?),
        None => None,
    };
    match object.keys().next() {
        Some(unknown) => Err(path.member(unknown).fault("unknown member", FILTERS)),
        None => Ok(Exists { table, name, conditions, filter }),
    }
}

fn name(json: Json, path: &Path) -> Result<String, Fault> {
    const NAMES: &str = r#"Pick a name for the row, such as "s": {"outer": ["s", column]} refers to it."#;
    match json {
        Json::String(name) if name == TARGET => {
            Err(path.fault(r#"must not be "target", which is the row that is updated"#, NAMES))
        }
        Json::String(name) if !name.is_empty() => Ok(name),
        _ => Err(path.fault("must be a string that is not empty", NAMES)),
    }
}
