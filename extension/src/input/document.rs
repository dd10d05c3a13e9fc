//! JSON documents before the grammar reads them: their members in order, paths into them, and their limits.

use crate::pg::error::Error;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::fmt;

/// How deep lists and objects may nest.
const DEEPEST: usize = 32;
/// How many columns a document may name: as many as a table can have.
const MOST_MEMBERS: usize = 1_600;

/// What is wrong with a document, and at which path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub path: String,
    pub problem: String,
    pub hint: String,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Document { path: fault.path, problem: fault.problem, hint: fault.hint }
    }
}

/// A path into a document, such as `changes.size.add[1]`. It is built on the way down and written out only for an
/// error.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

impl<'a> Path<'a> {
    /// The document itself, named by the argument that it came in.
    pub fn root(argument: &'a str) -> Self {
        Path { parent: None, step: Step::Member(argument) }
    }

    pub fn member(&'a self, name: &'a str) -> Self {
        Path { parent: Some(self), step: Step::Member(name) }
    }

    pub fn item(&'a self, index: usize) -> Self {
        Path { parent: Some(self), step: Step::Item(index) }
    }

    pub fn fault(&self, problem: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { path: self.to_string(), problem: problem.into(), hint: hint.into() }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Member(name) if self.parent.is_none() => f.write_str(name),
            Step::Member(name) => write!(f, ".{}", clipped(name)),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

/// A name for a message; a name that is longer than any column's is cut.
pub fn clipped(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 63;
    match name.char_indices().nth(LONGEST) {
        None => Cow::Borrowed(name),
        Some((end, _)) => Cow::Owned(format!("{}...", &name[..end])),
    }
}

/// The members of an object, in the order of its text.
///
/// In the text of a `jsonb` shorter names come first, and names of equal length are ordered by their bytes.
#[derive(Debug, PartialEq)]
pub struct Members(pub Vec<(String, Json)>);

impl Members {
    /// Reads the text of a document that must be an object.
    pub fn parse(text: &str, path: &Path) -> Result<Members, Fault> {
        if !text.trim_start().starts_with('{') {
            return Err(no_object(path));
        }
        let members: Members =
            serde_json::from_str(text).map_err(|error| path.fault(error.to_string(), "Pass a flatter document."))?;
        members.measured(path)
    }

    /// Takes a document that is parsed already.
    pub fn of(json: &Json, path: &Path) -> Result<Members, Fault> {
        let Json::Object(object) = json else {
            return Err(no_object(path));
        };
        Members(object.clone().into_iter().collect()).measured(path)
    }

    fn measured(self, path: &Path) -> Result<Members, Fault> {
        if self.0.len() > MOST_MEMBERS {
            let problem = format!("has {} members; {MOST_MEMBERS} are allowed", self.0.len());
            return Err(path.fault(problem, "No table has that many columns."));
        }
        self.0.iter().try_for_each(|(name, json)| measure(json, &path.member(name), 1))?;
        Ok(self)
    }
}

fn no_object(path: &Path) -> Fault {
    path.fault("must be an object", r#"Pass a JSON object, such as {"id": 1}."#)
}

fn measure(json: &Json, path: &Path, depth: usize) -> Result<(), Fault> {
    if depth > DEEPEST {
        let problem = format!("nested more than {DEEPEST} levels deep");
        return Err(path.fault(problem, "Pass a flatter document."));
    }
    let inner = |json, path: Path| measure(json, &path, depth + 1);
    match json {
        Json::Array(items) => (0..).zip(items).try_for_each(|(at, item)| inner(item, path.item(at))),
        Json::Object(members) => {
            let mut members = members.iter();
            members.try_for_each(|(name, member)| inner(member, path.member(name)))
        }
        _ => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
#[path = "../../tests/units/document.rs"]
mod tests;
