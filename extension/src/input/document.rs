//! JSON documents before they mean anything: their members in order, the names of places in them, their limits.

use crate::pg::error::Error;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// How deep lists and objects may nest.
const DEEPEST: usize = 32;
/// How many columns a document may name: as many as a table can have.
const MOST_MEMBERS: usize = 1_600;
/// How many scalars, lists and objects a document may hold.
const MOST_NODES: usize = 10_000;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub path: String,
    pub problem: String,
    pub hint: String,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let Fault {
            path,
            problem,
            hint,
        } = fault;
        Error::Document {
            path,
            problem,
            hint,
        }
    }
}

/// The name of a place in a document, such as `changes.size.add[1]`. Made on the way down, written out only for an error.
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
        Path {
            parent: None,
            step: Step::Member(argument),
        }
    }

    pub fn member(&'a self, name: &'a str) -> Self {
        Path {
            parent: Some(self),
            step: Step::Member(name),
        }
    }

    pub fn item(&'a self, index: usize) -> Self {
        Path {
            parent: Some(self),
            step: Step::Item(index),
        }
    }

    pub fn fault(&self, problem: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault {
            path: self.to_string(),
            problem: problem.into(),
            hint: hint.into(),
        }
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

/// A name as a message has it: one that is longer than any column's is cut.
pub fn clipped(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 63;
    match name.char_indices().nth(LONGEST) {
        None => Cow::Borrowed(name),
        Some((end, _)) => Cow::Owned(format!("{}...", &name[..end])),
    }
}

/// An object whose members stay in the order in which the text has them.
///
/// The text that comes from a `jsonb` has shorter names first, equally long ones by their bytes: `jsonb` keeps no other.
#[derive(Debug, PartialEq)]
pub struct Members(pub Vec<(String, Value)>);

impl Members {
    /// Reads the text of a document that must be an object.
    pub fn parse(text: &str, path: &Path) -> Result<Members, Fault> {
        if !text.trim_start().starts_with('{') {
            return Err(path.fault(
                "must be an object",
                r#"Pass a JSON object, such as {"id": 1}."#,
            ));
        }
        let members: Members = serde_json::from_str(text)
            .map_err(|error| path.fault(error.to_string(), "Pass a flatter document."))?;
        members.measured(path)
    }

    /// Takes a document that was read before.
    pub fn of(value: &Value, path: &Path) -> Result<Members, Fault> {
        let Value::Object(object) = value else {
            return Err(path.fault(
                "must be an object",
                r#"Pass a JSON object, such as {"id": 1}."#,
            ));
        };
        let members = object
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        Members(members.collect()).measured(path)
    }

    fn measured(self, path: &Path) -> Result<Members, Fault> {
        if self.0.len() > MOST_MEMBERS {
            let problem = format!("has {} members; {MOST_MEMBERS} are allowed", self.0.len());
            return Err(path.fault(problem, "No table has that many columns."));
        }
        let mut nodes = 0;
        for (name, value) in &self.0 {
            measure(value, &path.member(name), 1, &mut nodes)?;
        }
        Ok(self)
    }
}

fn measure(value: &Value, path: &Path, depth: usize, nodes: &mut usize) -> Result<(), Fault> {
    *nodes += 1;
    if *nodes > MOST_NODES {
        let problem = format!("the document holds more than {MOST_NODES} values");
        return Err(path.fault(problem, "Pass a smaller document."));
    }
    if depth > DEEPEST {
        let problem = format!("nested more than {DEEPEST} levels deep");
        return Err(path.fault(problem, "Pass a flatter document."));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| measure(item, &path.item(at), depth + 1, nodes)),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, member)| measure(member, &path.member(name), depth + 1, nodes)),
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
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Members, Fault> {
        Members::parse(text, &Path::root("changes"))
    }

    #[test]
    fn members_keep_their_order() {
        let members = parse(r#"{"b": 1, "a": 2, "c": 3}"#).unwrap();
        let names: Vec<&str> = members.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c"]);
    }

    #[test]
    fn paths_read_like_the_document() {
        let root = Path::root("changes");
        let (size, add) = (root.member("size"), "add");
        assert_eq!(size.member(add).item(1).to_string(), "changes.size.add[1]");
        assert_eq!(
            root.member(&"ü".repeat(63)).to_string(),
            format!("changes.{}", "ü".repeat(63))
        );
        assert_eq!(
            root.member(&"ü".repeat(64)).to_string(),
            format!("changes.{}...", "ü".repeat(63))
        );
    }

    #[test]
    fn only_an_object_is_a_document() {
        for text in ["[]", "null", "7", r#""{}""#] {
            let fault = parse(text).unwrap_err();
            assert_eq!(
                (fault.path.as_str(), fault.problem.as_str()),
                ("changes", "must be an object"),
                "{text}"
            );
        }
    }

    #[test]
    fn depth_is_limited_and_the_place_named() {
        let nested =
            |levels: usize| format!(r#"{{"a": {}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(DEEPEST)).is_ok());
        let fault = parse(&nested(DEEPEST + 1)).unwrap_err();
        assert_eq!(fault.path, format!("changes.a{}", "[0]".repeat(DEEPEST)));
        // Deeper than serde goes: the argument is all that can be named.
        assert_eq!(parse(&nested(1_000)).unwrap_err().path, "changes");
    }

    #[test]
    fn size_is_limited() {
        let list = |length: usize| format!(r#"{{"a": [{}]}}"#, vec!["1"; length].join(","));
        assert!(parse(&list(MOST_NODES - 1)).is_ok());
        assert_eq!(
            parse(&list(MOST_NODES)).unwrap_err().path,
            format!("changes.a[{}]", MOST_NODES - 1)
        );

        let wide: Vec<String> = (0..=MOST_MEMBERS)
            .map(|n| format!(r#""c{n}": 1"#))
            .collect();
        assert!(parse(&format!("{{{}}}", wide[1..].join(","))).is_ok());
        assert!(
            parse(&format!("{{{}}}", wide.join(",")))
                .unwrap_err()
                .problem
                .contains("1601 members")
        );
    }
}
