//! Values: what a column is set to, or compared with. A column in a value stands for what it held before the update.

use super::filter::{self, Filter};
use super::literal::{Literal, Value, literal, scalar};
use super::object;
use crate::input::document::{Fault, Path};
use serde_json::{Map, Value as Json};

#[derive(Debug, PartialEq, Eq)]
pub enum Expression {
    Null,
    Literal(Literal),
    /// The database's clock, read once in a call.
    Now,
    Column(String),
    /// Inside an `exists`: a column of a row around it.
    Outer(Outer),
    Arithmetic(Arithmetic, Box<[Expression; 2]>),
    Concat(Vec<Expression>),
    Case {
        branches: Vec<(Filter, Expression)>,
        otherwise: Box<Expression>,
    },
}

/// A column of a row that encloses an `exists`.
#[derive(Debug, PartialEq, Eq)]
pub struct Outer {
    /// The name of the row; `None` is the row that is updated, where no other row encloses the `exists`.
    pub row: Option<String>,
    pub column: String,
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
        [Self::Add, Self::Sub, Self::Mul, Self::Div].into_iter().find(|operator| operator.name() == name)
    }
}

const VALUES: &str = r#"A value is a scalar, null, {"value": any JSON}, {"column": name}, {"add", "sub", "mul" or "div": [a, b]}, {"concat": [values]}, {"now": true}, or {"case": [{"when": filter, "then": value}], "else": value}."#;

/// `member` is its number if it is a member as a whole.
pub fn expression(json: Json, member: Option<usize>, path: &Path) -> Result<Expression, Fault> {
    match json {
        Json::Object(object) => operation(object, path),
        other => Ok(match scalar(other, member, path, VALUES)? {
            None => Expression::Null,
            Some(literal) => Expression::Literal(literal),
        }),
    }
}

fn operation(object: Map<String, Json>, path: &Path) -> Result<Expression, Fault> {
    if object.contains_key("case") {
        return case(object, path);
    }
    let (operator, argument) = object::operator(Json::Object(object), path, VALUES)?;
    let path = path.member(&operator);
    match operator.as_str() {
        "value" => Ok(Expression::Literal(literal(argument, None))),
        "column" => name(argument, &path).map(Expression::Column),
        "outer" => outer(argument, &path).map(Expression::Outer),
        "now" if argument == Json::Bool(true) => Ok(Expression::Now),
        "now" => Err(path.fault("must be true", r#"Write {"now": true}."#)),
        "concat" => concat(argument, &path),
        _ => match Arithmetic::named(&operator) {
            Some(arithmetic) => calculation(arithmetic, argument, &path),
            None => Err(path.fault("unknown operator", VALUES)),
        },
    }
}

fn name(argument: Json, path: &Path) -> Result<String, Fault> {
    match argument {
        Json::String(column) => Ok(column),
        _ => Err(path.fault("must be the name of a column", VALUES)),
    }
}

/// `"id"`, or `["v", "id"]`.
fn outer(argument: Json, path: &Path) -> Result<Outer, Fault> {
    const OUTER: &str = r#"Write {"outer": column}, or {"outer": [row, column]}: the row is an enclosing "exists" by its "as" or its table's name, or "target", the row that is updated."#;
    let text = |json: &Json| json.as_str().map(str::to_owned);
    match &argument {
        Json::String(column) => Ok(Outer { row: None, column: column.clone() }),
        Json::Array(names) => match names.iter().map(text).collect::<Option<Vec<_>>>().map(<[String; 2]>::try_from) {
            Some(Ok([row, column])) => Ok(Outer { row: Some(row), column }),
            _ => Err(path.fault("must be a list of two strings, a row and its column", OUTER)),
        },
        _ => Err(path.fault("must be the name of a column, or a list of a row and its column", OUTER)),
    }
}

const OPERANDS: &str =
    r#"An operand is a number, an interval such as "5 minutes", {"column": name}, {"now": true}, or arithmetic."#;

fn calculation(arithmetic: Arithmetic, argument: Json, path: &Path) -> Result<Expression, Fault> {
    let operands = match argument {
        Json::Array(operands) => <[Json; 2]>::try_from(operands).ok(),
        _ => None,
    };
    let Some([left, right]) = operands else {
        return Err(path.fault("must be a list of two operands", VALUES));
    };
    let operand = |json, at| {
        let path = path.item(at);
        match expression(json, None, &path)? {
            Expression::Null | Expression::Literal(Literal { value: Value::Boolean(_) | Value::Json(_), .. }) => {
                Err(path.fault("must be something to calculate with", OPERANDS))
            }
            operand => Ok(operand),
        }
    };
    let operands = [operand(left, 0)?, operand(right, 1)?];
    Ok(Expression::Arithmetic(arithmetic, Box::new(operands)))
}

fn concat(argument: Json, path: &Path) -> Result<Expression, Fault> {
    const PARTS: &str = r#"Pass a list of strings, numbers, booleans, {"column": name} and other values."#;
    let parts = match argument {
        Json::Array(parts) if !parts.is_empty() => parts,
        _ => return Err(path.fault("must be a list of at least one value", PARTS)),
    };
    let part = |(at, json)| {
        let path = path.item(at);
        match expression(json, None, &path)? {
            Expression::Null | Expression::Literal(Literal { value: Value::Json(_), .. }) => {
                Err(path.fault("must be something to join", PARTS))
            }
            part => Ok(part),
        }
    };
    let parts = parts.into_iter().enumerate().map(part);
    Ok(Expression::Concat(parts.collect::<Result<_, _>>()?))
}

const CASES: &str =
    r#"Write {"case": [{"when": filter, "then": value}, ...], "else": value}; "else" is null by default."#;

fn case(mut object: Map<String, Json>, path: &Path) -> Result<Expression, Fault> {
    let branches = object.remove("case").unwrap_or_default();
    let otherwise = match object.remove("else") {
        Some(value) => expression(value, None, &path.member("else"))?,
        None => Expression::Null,
    };
    if let Some(unknown) = object.keys().next() {
        return Err(path.member(unknown).fault("unknown operator", CASES));
    }
    let path = path.member("case");
    let branches = match branches {
        Json::Array(branches) if !branches.is_empty() => branches,
        _ => return Err(path.fault("must be a list of at least one branch", CASES)),
    };
    let branches = branches.into_iter().enumerate();
    Ok(Expression::Case {
        branches: branches.map(|(at, json)| branch(json, &path.item(at))).collect::<Result<_, _>>()?,
        otherwise: Box::new(otherwise),
    })
}

fn branch(json: Json, path: &Path) -> Result<(Filter, Expression), Fault> {
    let Json::Object(mut object) = json else {
        return Err(path.fault("must be an object", CASES));
    };
    let (when, then) = (object.remove("when"), object.remove("then"));
    let (Some(when), Some(then), true) = (when, then, object.is_empty()) else {
        return Err(path.fault("must have \"when\" and \"then\", and nothing else", CASES));
    };
    Ok((filter::filter(when, &path.member("when"))?, expression(then, None, &path.member("then"))?))
}
