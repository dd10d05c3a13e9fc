//! Building documents.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::error::Error;

/// A part of a document, or what is wrong with it. The error is returned when the update is executed, so that building
/// needs no `?`.
pub(super) type Part = Result<Value, String>;

/// An object with one entry per column. A second entry for a column is refused, because only the last would be left.
pub(crate) fn document<T>(
    entries: Vec<(String, T)>,
    into_json: impl Fn(T) -> Result<Value, String>,
) -> Result<Map<String, Value>, Error> {
    let mut document = Map::new();
    for (column, value) in entries {
        let added = into_json(value).and_then(|json| add(&mut document, &column, json));
        if let Err(problem) = added {
            return Err(Error::InvalidDocument { column, problem });
        }
    }
    Ok(document)
}

/// As [`document`], for a document within another.
pub(super) fn nested(entries: Vec<(String, Part)>) -> Part {
    document(entries, |part| part).map(Value::Object).map_err(|error| match error {
        Error::InvalidDocument { column, problem } => {
            format!("names `{column}`, which {problem}")
        }
        other => other.to_string(),
    })
}

/// An object of one member.
pub(super) fn operator(name: &str, operand: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), operand)]))
}

fn add(document: &mut Map<String, Value>, name: &str, json: Value) -> Result<(), String> {
    match document.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(json);
            Ok(())
        }
        Entry::Occupied(_) => Err("is named twice".to_owned()),
    }
}
