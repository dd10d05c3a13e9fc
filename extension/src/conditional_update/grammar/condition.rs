//! Conditions on one column.

use super::value::{self, Expression};
use super::{Literal, Scalar, literal, scalar, wrapped};
use crate::input::document::{Fault, Path};
use serde_json::{Map, Value as Json};

/// `"available"`, or `["available", "error", null]`.
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

/// What stands beside a column in `expected`. A list or an object is a condition, or what a column reads as whose
/// values are lists or objects themselves: only the column's type can tell.
#[derive(Debug, PartialEq)]
pub enum Expectation {
    Scalar(Condition),
    Composed {
        written: Literal,
        condition: Result<Condition, Fault>,
    },
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
        Self::ALL
            .into_iter()
            .find(|comparison| comparison.name() == name)
    }

    /// To these two, NULL is a value like any other.
    pub fn is_equality(self) -> bool {
        matches!(self, Comparison::Eq | Comparison::Ne)
    }
}

const CONDITIONS: &str = r#"A condition is a scalar, null, a list of them, {"not": scalar or list, "null": boolean}, {"value": any JSON}, or comparisons: {"lt", "le", "gt", "ge", "eq", "ne": value}."#;

pub fn expectation(json: Json, path: &Path) -> Result<Expectation, Fault> {
    match json {
        Json::Array(_) | Json::Object(_) => Ok(Expectation::Composed {
            written: literal(json.clone()),
            condition: condition(json, path),
        }),
        scalar => Ok(Expectation::Scalar(condition(scalar, path)?)),
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
                r#"Say it with a filter: {"all": [{"where": ...}, {"where": ...}]}."#,
            ),
        });
    }
    let negated = operator.remove("not").unwrap_or_default();
    let choice = choice(negated, &path.member("not"))?;
    let null_holds = match operator.remove("null") {
        None => !choice.has_null(),
        Some(Json::Bool(true)) if choice.has_null() => {
            let hint = r#"With null among what the column must not be, leave "null" out."#;
            return Err(path
                .member("null")
                .fault("contradicts the null in the list", hint));
        }
        Some(Json::Bool(holds)) => holds,
        Some(_) => {
            let hint = "Pass true if a column that is NULL shall match, else false.";
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
        let comparison =
            Comparison::named(&name).ok_or_else(|| path.fault("unknown operator", CONDITIONS))?;
        let operand = value::expression(operand, &path)?;
        if operand == Expression::Null && !comparison.is_equality() {
            let hint = r#"Nothing is less or greater than NULL; "eq" and "ne" take null."#;
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
        None => scalar(json, path, CONDITIONS),
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
    pub fn place<'a>(&self, path: &'a Path<'a>, index: usize) -> Path<'a> {
        match self {
            Choice::One(_) => *path,
            Choice::Many(_) => path.item(index),
        }
    }
}
