//! Conditions on one column.

use super::literal::{Literal, Scalar, literal, scalar, wrapped};
use super::value::{self, Expression};
use crate::input::document::{Fault, Path};
use serde_json::{Map, Value as Json};

/// Such as `"available"`, or `["available", "error", null]`.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    One(Scalar),
    Many(Vec<Scalar>),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Condition {
    /// Equal to one of them; null is a value like any other.
    AnyOf(Choice),
    /// Equal to none of them.
    NoneOf { choice: Choice, null_holds: bool },
    /// Each of these comparisons holds.
    Compared(Vec<(Comparison, Expression)>),
}

/// What `expected` says of a column. The column's type decides how a list or an object is read: as a condition, or as
/// the value of a column whose values are lists or objects.
#[derive(Debug, PartialEq)]
pub enum Expectation {
    Scalar(Scalar),
    Composed { written: Literal, condition: Result<Condition, Fault> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
}

impl Comparison {
    const ALL: [Self; 6] = [Self::Lt, Self::Le, Self::Gt, Self::Ge, Self::Eq, Self::Ne];

    /// The operator's name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Comparison::Lt => "lt",
            Comparison::Le => "le",
            Comparison::Gt => "gt",
            Comparison::Ge => "ge",
            Comparison::Eq => "eq",
            Comparison::Ne => "ne",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|comparison| comparison.name() == name)
    }

    /// These two take NULL as a value like any other.
    pub fn is_equality(self) -> bool {
        matches!(self, Comparison::Eq | Comparison::Ne)
    }
}

const CONDITIONS: &str = r#"A condition is a scalar, null, a list of them, {"not": scalar or list, "null": boolean}, {"value": any JSON}, or comparisons: {"lt", "le", "gt", "ge", "eq", "ne": value}."#;

/// `member` is its number, for the literal that it may be.
pub fn expectation(json: Json, member: Option<usize>, path: &Path) -> Result<Expectation, Fault> {
    match json {
        Json::Array(_) | Json::Object(_) => {
            Ok(Expectation::Composed { written: literal(json.clone(), None), condition: condition(json, path) })
        }
        json => scalar(json, member, path, CONDITIONS).map(Expectation::Scalar),
    }
}

pub fn condition(json: Json, path: &Path) -> Result<Condition, Fault> {
    match json {
        Json::Object(mut object) => match wrapped(&mut object) {
            Some(literal) => Ok(Condition::AnyOf(Choice::One(Some(literal)))),
            None if object.contains_key("not") => negation(object, path),
            None => comparisons(object, path),
        },
        other => Ok(Condition::AnyOf(choice(other, path)?)),
    }
}

/// `{"not": scalar or list, "null": boolean}`.
fn negation(mut operator: Map<String, Json>, path: &Path) -> Result<Condition, Fault> {
    let known = |name: &&String| matches!(name.as_str(), "not" | "null");
    if let Some(other) = operator.keys().find(|name| !known(name)) {
        let path = path.member(other);
        return Err(match Comparison::named(other) {
            None => path.fault("unknown operator", CONDITIONS),
            Some(_) => path.fault(
                "can't stand beside \"not\"",
                r#"Use a filter for both: {"all": [{"where": ...}, {"where": ...}]}."#,
            ),
        });
    }
    let negated = operator.remove("not").unwrap_or_default();
    let choice = choice(negated, &path.member("not"))?;
    let null_holds = match operator.remove("null") {
        None => !choice.has_null(),
        Some(Json::Bool(true)) if choice.has_null() => {
            let hint = r#"Leave "null" out: the null in the list says already that NULL does not match."#;
            return Err(path.member("null").fault("contradicts the null in the list", hint));
        }
        Some(Json::Bool(holds)) => holds,
        Some(_) => {
            let hint = "Pass true if a NULL column is to match, else false.";
            return Err(path.member("null").fault("must be true or false", hint));
        }
    };
    Ok(Condition::NoneOf { choice, null_holds })
}

/// `{"ge": value, "lt": value}`.
fn comparisons(operators: Map<String, Json>, path: &Path) -> Result<Condition, Fault> {
    if operators.keys().all(|name| name == "null") {
        return Err(path.fault("names no operator", CONDITIONS));
    }
    let read = |(name, operand): (String, Json)| {
        let path = path.member(&name);
        let comparison = Comparison::named(&name).ok_or_else(|| path.fault("unknown operator", CONDITIONS))?;
        let operand = value::expression(operand, None, &path)?;
        if operand == Expression::Null && !comparison.is_equality() {
            let hint = r#"NULL has no order; only "eq" and "ne" take null."#;
            return Err(path.fault("must not be null", hint));
        }
        Ok((comparison, operand))
    };
    let comparisons = operators.into_iter().map(read);
    Ok(Condition::Compared(comparisons.collect::<Result<_, _>>()?))
}

fn choice(json: Json, path: &Path) -> Result<Choice, Fault> {
    match json {
        Json::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| chosen(item, &path.item(at)))
            .collect::<Result<_, _>>()
            .map(Choice::Many),
        other => chosen(other, path).map(Choice::One),
    }
}

fn chosen(mut json: Json, path: &Path) -> Result<Scalar, Fault> {
    match json.as_object_mut().and_then(wrapped) {
        Some(literal) => Ok(Some(literal)),
        None => scalar(json, None, path, CONDITIONS),
    }
}

impl Choice {
    /// The scalars, with or without a list around them.
    pub fn scalars(&self) -> &[Scalar] {
        match self {
            Choice::One(scalar) => std::slice::from_ref(scalar),
            Choice::Many(scalars) => scalars,
        }
    }

    pub fn has_null(&self) -> bool {
        self.scalars().contains(&None)
    }

    /// Where the scalar at `index` stands.
    pub fn path_of<'a>(&self, path: &'a Path<'a>, index: usize) -> Path<'a> {
        match self {
            Choice::One(_) => *path,
            Choice::Many(_) => path.item(index),
        }
    }
}
