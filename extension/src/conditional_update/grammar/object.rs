//! Objects of a document: columns with what is said of them, or one operator with its argument.

use crate::input::document::{Fault, Path};
use serde_json::Value as Json;

/// The columns that an object names, in its order.
pub type Columns<T> = Vec<(String, T)>;

/// Reads an object whose members are columns.
pub fn columns<T>(
    members: impl IntoIterator<Item = (String, Json)>,
    path: &Path,
    mut read: impl FnMut(Json, &Path) -> Result<T, Fault>,
) -> Result<Columns<T>, Fault> {
    let read = |(name, json): (String, Json)| {
        let column = read(json, &path.member(&name))?;
        Ok((name, column))
    };
    members.into_iter().map(read).collect()
}

/// The one member that an operator's object has: the operator and its argument.
pub fn operator(json: Json, path: &Path, hint: &str) -> Result<(String, Json), Fault> {
    let Json::Object(object) = json else {
        return Err(path.fault("must be an object", hint));
    };
    let mut members = object.into_iter();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(path.fault("must name one operator", hint)),
    }
}
