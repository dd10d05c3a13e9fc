//! What the documents mean: conditions and values, as typed trees. No Postgres in here.

use super::document::{Fault, Members, Path};
use serde_json::{Map, Value as Json};

/// A scalar that isn't null. Which type it is of, the column says that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    Text(String),
    /// With every digit as written.
    Number(String),
    Boolean(bool),
}

/// A scalar; `None` is null.
pub type Scalar = Option<Literal>;

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
}

/// What a column is set to.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    Scalar(Scalar),
    Computed(Expression),
}

/// A value computed from the row as it was before the update.
#[derive(Debug, PartialEq, Eq)]
pub enum Expression {
    Literal(Literal),
    Column(String),
    Arithmetic(Arithmetic, Box<[Expression; 2]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

impl Arithmetic {
    /// The operator's name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Add => "add",
            Arithmetic::Sub => "sub",
            Arithmetic::Mul => "mul",
            Arithmetic::Div => "div",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Add, Self::Sub, Self::Mul, Self::Div]
            .into_iter()
            .find(|operator| operator.name() == name)
    }
}

/// The columns that a document names, in its order.
pub type Columns<T> = Vec<(String, T)>;

/// Reads the columns that identify the row.
pub fn key(members: Members, path: &Path) -> Result<Columns<Scalar>, Fault> {
    columns(members, path, |json, path| {
        scalar(
            json,
            path,
            "A key is made of scalars and null; conditions belong into expected.",
        )
    })
}

/// Reads what must hold of the row.
pub fn conditions(members: Members, path: &Path) -> Result<Columns<Condition>, Fault> {
    columns(members, path, condition)
}

/// Reads what the columns are set to.
pub fn values(members: Members, path: &Path) -> Result<Columns<Value>, Fault> {
    columns(members, path, value)
}

fn columns<T>(
    members: Members,
    path: &Path,
    read: impl Fn(Json, &Path) -> Result<T, Fault>,
) -> Result<Columns<T>, Fault> {
    let read = |(name, json): (String, Json)| {
        let member = read(json, &path.member(&name))?;
        Ok((name, member))
    };
    members.0.into_iter().map(read).collect()
}

const CONDITIONS: &str = r#"A condition is a scalar, null, a list of them, or {"not": scalar or list, "null": boolean}."#;

fn condition(json: Json, path: &Path) -> Result<Condition, Fault> {
    match json {
        Json::Object(operator) => negation(operator, path),
        other => Ok(Condition::AnyOf(choice(other, path)?)),
    }
}

/// `{"not": scalar or list, "null": boolean}`.
fn negation(mut operator: Map<String, Json>, path: &Path) -> Result<Condition, Fault> {
    if let Some(unknown) = operator
        .keys()
        .find(|name| !matches!(name.as_str(), "not" | "null"))
    {
        return Err(path.member(unknown).fault("unknown operator", CONDITIONS));
    }
    let Some(negated) = operator.remove("not") else {
        return Err(path.fault("names no operator", CONDITIONS));
    };
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

fn choice(json: Json, path: &Path) -> Result<Choice, Fault> {
    match json {
        Json::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| scalar(item, &path.item(at), CONDITIONS))
            .collect::<Result<_, _>>()
            .map(Choice::Many),
        other => scalar(other, path, CONDITIONS).map(Choice::One),
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

const VALUES: &str =
    r#"A value is a scalar, null, {"column": name}, or {"add", "sub", "mul" or "div": [a, b]}."#;

fn value(json: Json, path: &Path) -> Result<Value, Fault> {
    match json {
        Json::Object(operator) => operation(operator, path).map(Value::Computed),
        other => scalar(other, path, VALUES).map(Value::Scalar),
    }
}

/// An object: the one operator that it names.
fn operation(operator: Map<String, Json>, path: &Path) -> Result<Expression, Fault> {
    let mut members = operator.into_iter();
    let (Some((name, argument)), None) = (members.next(), members.next()) else {
        return Err(path.fault("must name one operator", VALUES));
    };
    let path = path.member(&name);
    if name == "column" {
        return match argument {
            Json::String(column) => Ok(Expression::Column(column)),
            _ => Err(path.fault("must be the name of a column", VALUES)),
        };
    }
    let Some(arithmetic) = Arithmetic::named(&name) else {
        return Err(path.fault("unknown operator", VALUES));
    };
    let operands = match argument {
        Json::Array(operands) => <[Json; 2]>::try_from(operands).ok(),
        _ => None,
    };
    let Some([left, right]) = operands else {
        return Err(path.fault("must be a list of two operands", VALUES));
    };
    let operands = [
        operand(left, &path.item(0))?,
        operand(right, &path.item(1))?,
    ];
    Ok(Expression::Arithmetic(arithmetic, Box::new(operands)))
}

const OPERANDS: &str =
    r#"An operand is a number, an interval such as "5 minutes", {"column": name}, or arithmetic."#;

fn operand(json: Json, path: &Path) -> Result<Expression, Fault> {
    if let Json::Object(operator) = json {
        return operation(operator, path);
    }
    match scalar(json, path, OPERANDS)? {
        Some(literal @ (Literal::Number(_) | Literal::Text(_))) => Ok(Expression::Literal(literal)),
        _ => Err(path.fault("must be something to calculate with", OPERANDS)),
    }
}

fn scalar(json: Json, path: &Path, hint: &str) -> Result<Scalar, Fault> {
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::Bool(boolean) => Literal::Boolean(boolean),
        Json::Number(number) => Literal::Number(number.to_string()),
        Json::String(text) => Literal::Text(text),
        Json::Array(_) => return Err(path.fault("must not be a list", hint)),
        Json::Object(_) => return Err(path.fault("must not be an object", hint)),
    }))
}

#[cfg(test)]
mod tests;
