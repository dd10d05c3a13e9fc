//! The expected answer of conditional_update, in plain Rust: NULL
//! is a value like any other, and a condition holds or it doesn't.

use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// A column's value; `None` is NULL, which for `meta` is different from the null of JSON.
pub type Cell = Option<Json>;

/// A row by the names of its columns.
pub type Row = BTreeMap<&'static str, Cell>;

/// One call and the rows of the tables.
#[derive(Clone, Debug)]
pub struct Case {
    pub volume: Row,
    pub snapshots: Vec<Row>,
    pub key: i64,
    pub values: Json,
    pub expected: Json,
    pub filter: Option<Json>,
    pub filter_sql: Option<&'static str>,
}

/// The expected answer of the call.
#[derive(Debug, PartialEq)]
pub enum Answer {
    NotFound,
    Unmet(Vec<String>),
    Updated(Json),
}

pub fn as_json(row: &Row) -> Json {
    let members = row.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone().unwrap_or_default()));
    Json::Object(members.collect())
}

/// A row with its name, and the rows around it, out to the one that is updated.
#[derive(Clone, Copy)]
struct Scope<'a> {
    name: &'a str,
    row: &'a Row,
    around: Option<&'a Scope<'a>>,
    case: &'a Case,
}

impl Case {
    pub fn answer(&self) -> Answer {
        if self.volume["id"] != Some(json!(self.key)) {
            return Answer::NotFound;
        }
        let scope = Scope { name: "target", row: &self.volume, around: None, case: self };
        let mut unmet: Vec<String> = members(&self.expected)
            .iter()
            .filter(|(name, condition)| !scope.expects(name, condition))
            .map(|(name, _)| name.clone())
            .collect();
        // As jsonb orders names.
        unmet.sort_by_key(|name| (name.len(), name.clone()));
        if self.filter.as_ref().is_some_and(|filter| !scope.filter(filter)) {
            unmet.push("filter".to_owned());
        }
        if self.filter_sql.is_some_and(|sql| !scope.sql(sql)) {
            unmet.push("filter_sql".to_owned());
        }
        if !unmet.is_empty() {
            return Answer::Unmet(unmet);
        }
        let mut updated = self.volume.clone();
        for (name, value) in members(&self.values) {
            let column = *updated.keys().find(|column| *column == name).expect("a column");
            updated.insert(column, scope.value(value, column == "meta"));
        }
        Answer::Updated(as_json(&updated))
    }
}

fn members(json: &Json) -> &Map<String, Json> {
    json.as_object().expect("an object")
}

fn operator(json: &Json) -> (&str, &Json) {
    let (name, argument) = members(json).iter().next().expect("an operator");
    (name, argument)
}

impl Scope<'_> {
    /// `expected`: a list or an object is the expected value itself, if the column can hold it.
    fn expects(self, name: &str, condition: &Json) -> bool {
        let cell = &self.row[name];
        match name {
            "meta" => cell.clone().unwrap_or_default() == *condition,
            "tags" if condition.is_array() => cell.as_ref() == Some(condition),
            _ => self.condition(name, condition),
        }
    }

    fn condition(self, name: &str, condition: &Json) -> bool {
        let cell = &self.row[name];
        let is_json = name == "meta";
        let chosen = |choice: &Json| match choice {
            Json::Array(items) => items.iter().any(|item| *cell == literal(item, is_json)),
            one => *cell == literal(one, is_json),
        };
        let Json::Object(operators) = condition else {
            return chosen(condition);
        };
        if operators.contains_key("value") {
            return chosen(condition);
        }
        if let Some(negated) = operators.get("not") {
            if cell.is_none() {
                let listed = match negated {
                    Json::Array(items) => items.contains(&Json::Null),
                    one => one.is_null(),
                };
                return match operators.get("null") {
                    Some(holds) => holds == &json!(true),
                    None => !listed,
                };
            }
            return !chosen(negated);
        }
        operators.iter().all(|(operator, operand)| compare(operator, cell, &self.value(operand, is_json)))
    }

    fn filter(self, filter: &Json) -> bool {
        let (operator, argument) = operator(filter);
        match operator {
            "all" => argument.as_array().expect("a list").iter().all(|f| self.filter(f)),
            "any" => argument.as_array().expect("a list").iter().any(|f| self.filter(f)),
            "not" => !self.filter(argument),
            "where" => self.conditions(argument),
            "exists" => self.case.snapshots.iter().any(|row| {
                let name = argument["as"].as_str().expect("a name");
                let scope = Scope { name, row, around: Some(&self), ..self };
                let of_filter = argument.get("filter").is_none_or(|f| scope.filter(f));
                of_filter && argument.get("where").is_none_or(|w| scope.conditions(w))
            }),
            other => panic!("no filter: {other}"),
        }
    }

    fn conditions(self, conditions: &Json) -> bool {
        members(conditions).iter().all(|(name, condition)| self.condition(name, condition))
    }

    fn value(self, value: &Json, is_json: bool) -> Cell {
        let Json::Object(object) = value else {
            return literal(value, is_json);
        };
        if let Some(branches) = object.get("case") {
            let branches = branches.as_array().expect("a list").iter();
            let mut holding = branches.filter(|branch| self.filter(&branch["when"]));
            return match holding.next() {
                Some(branch) => self.value(&branch["then"], is_json),
                None => self.value(object.get("else")?, is_json),
            };
        }
        let (operator, argument) = operator(value);
        let operand = |at: usize| Some(self.value(&argument[at], false)?.as_i64().expect("a number"));
        match operator {
            "value" => literal(value, is_json),
            "column" => self.row[argument.as_str().expect("a name")].clone(),
            "outer" => {
                let (row, column) = match argument {
                    Json::Array(names) => (names[0].as_str().expect("a name"), &names[1]),
                    column => ("target", column),
                };
                let mut rows = std::iter::successors(self.around, |scope| scope.around);
                let found = rows.find(|scope| scope.name == row).expect("a row around");
                found.row[column.as_str().expect("a name")].clone()
            }
            "add" => Some(json!(operand(0)? + operand(1)?)),
            "sub" => Some(json!(operand(0)? - operand(1)?)),
            "mul" => Some(json!(operand(0)? * operand(1)?)),
            "div" => Some(json!(operand(0)? / operand(1)?)),
            "concat" => {
                let parts = argument.as_array().expect("a list").iter();
                let texts = parts.map(|part| Some(text(&self.value(part, false)?)));
                Some(Json::from(texts.collect::<Option<String>>()?))
            }
            other => panic!("no value: {other}"),
        }
    }

    /// The few expressions of SQL that cases use.
    fn sql(self, sql: &str) -> bool {
        match sql {
            "size > 3" => compare("gt", &self.row["size"], &Some(json!(3))),
            "status IS NULL OR deleted" => self.row["status"].is_none() || self.row["deleted"] == Some(json!(true)),
            "NULL" => false,
            "EXISTS (SELECT FROM snapshots WHERE volume_id = target.size) -- as SQL" => {
                let size = &self.row["size"];
                let snapshots = &self.case.snapshots;
                size.is_some() && snapshots.iter().any(|row| row["volume_id"] == *size)
            }
            other => panic!("no such SQL: {other}"),
        }
    }
}

fn literal(json: &Json, is_json: bool) -> Cell {
    match json.get("value") {
        Some(Json::Null) if is_json => Some(Json::Null),
        Some(Json::Null) => None,
        Some(value) => Some(value.clone()),
        None if json.is_null() => None,
        None => Some(json.clone()),
    }
}

fn compare(operator: &str, left: &Cell, right: &Cell) -> bool {
    match operator {
        "eq" => return left == right,
        "ne" => return left != right,
        _ => {}
    }
    let (Some(left), Some(right)) = (left, right) else {
        return false;
    };
    let order = match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_i64().cmp(&right.as_i64()),
        (Json::String(left), Json::String(right)) => left.cmp(right),
        (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
        other => panic!("nothing to order: {other:?}"),
    };
    match operator {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        "ge" => order.is_ge(),
        other => panic!("no comparison: {other}"),
    }
}

fn text(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
