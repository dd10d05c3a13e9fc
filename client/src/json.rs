//! JSON as text. A number keeps every digit that it was written with.

mod finite;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use self::finite::Finite;
use crate::error::Error;

pub(crate) type Json = Box<RawValue>;

/// A part of a document, or what is wrong with it. The error is returned when the document is sent, so that building
/// needs no `?`.
pub(crate) type Part = Result<Json, String>;

/// A value as JSON. NaN and infinities are refused: serde_json would write `null`.
pub(crate) fn json(value: impl Serialize) -> Part {
    let written = value.serialize(Finite).and_then(|()| to_raw_value(&value));
    written.map_err(|error| format!("is given a value that is no JSON: {error}"))
}

/// A literal as it stands in a document: a scalar, because an object would read as an operator, and an array as a
/// list of choices. Data must never turn into either.
pub(crate) fn scalar(value: impl Serialize) -> Part {
    let json = json(value)?;
    match json.get().as_bytes() {
        [b'{', ..] => Err("is given an object, which is no literal (use `value` for JSON)".to_owned()),
        [b'[', ..] => Err("is given an array, which is no literal (use `one_of`, or `value` for JSON)".to_owned()),
        _ => Ok(json),
    }
}

/// The columns of a row.
pub(crate) fn columns(row: impl Serialize) -> Result<BTreeMap<String, Json>, String> {
    serde_json::from_str(json(row)?.get()).map_err(|_| "is given a row that is no object of columns".to_owned())
}

/// An object of these members. Their names differ.
pub(crate) fn object<const N: usize>(members: [(&str, Json); N]) -> Part {
    json(BTreeMap::from(members))
}

/// An object of one member.
pub(crate) fn operator(name: &str, operand: Part) -> Part {
    object([(name, operand?)])
}

/// A list of these items.
pub(crate) fn array(items: impl IntoIterator<Item = Part>) -> Part {
    json(items.into_iter().collect::<Result<Vec<Json>, String>>()?)
}

/// An object with one member per column. A second one for a column is refused, because only the last would be left.
pub(crate) fn document(entries: &[(String, Part)]) -> Result<Json, Error> {
    let mut members = BTreeMap::new();
    for (column, part) in entries {
        let part = part.as_ref().map_err(|problem| invalid(column, problem.clone()))?;
        if members.insert(column, part).is_some() {
            return Err(invalid(column, "is named twice".to_owned()));
        }
    }
    json(members).map_err(|problem| invalid("document", problem))
}

/// `subject` is a column or an argument.
pub(crate) fn invalid(subject: &str, problem: String) -> Error {
    Error::InvalidDocument { column: subject.to_owned(), problem }
}
