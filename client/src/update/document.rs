//! How literals and documents come about.

use serde::Serialize;
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::error::Error;

/// A literal as the server takes it: a scalar, because an object would read as an operator, and an array as a
/// list of choices. Data must never turn into either.
pub(super) fn scalar(value: impl Serialize) -> Result<Value, String> {
    match serde_json::to_value(value) {
        Ok(Value::Object(_)) => Err("is given an object, which is no literal".to_owned()),
        Ok(Value::Array(_)) => {
            Err("is given an array, which is no literal (use `one_of` for choices)".to_owned())
        }
        Ok(scalar) => Ok(scalar),
        Err(error) => Err(format!("is given a value that is no JSON: {error}")),
    }
}

/// An object of one entry a column. Two for one column would leave only the last.
pub(crate) fn document<T>(
    entries: Vec<(String, T)>,
    into_json: impl Fn(T) -> Result<Value, String>,
) -> Result<Map<String, Value>, Error> {
    let mut document = Map::new();
    for (column, value) in entries {
        let result = into_json(value).and_then(|json| match document.entry(column.as_str()) {
            Entry::Vacant(vacant) => {
                vacant.insert(json);
                Ok(())
            }
            Entry::Occupied(_) => Err("is named twice".to_owned()),
        });
        if let Err(problem) = result {
            return Err(Error::InvalidDocument { column, problem });
        }
    }
    Ok(document)
}
