//! Documents and the trees that they are read as.

use crate::conditional_update::grammar::*;
use serde_json::json;

mod conditions;
mod filters;
mod numbers;
mod values;

fn members(text: &str, argument: &'static str) -> Members {
    Members::parse(text, &Path::root(argument)).unwrap()
}

fn condition_of(text: &str) -> Result<Condition, Fault> {
    let mut members = members(&format!(r#"{{"c": {text}}}"#), "expected");
    let path = Path::root("expected");
    condition::condition(members.0.remove(0).1, &path.member("c"))
}

fn filter_of(text: &str) -> Result<Filter, Fault> {
    filter(members(text, "filter"))
}

fn value_of(text: &str) -> Result<Expression, Fault> {
    let mut members = members(&format!(r#"{{"c": {text}}}"#), "changes");
    let path = Path::root("changes");
    value::expression(members.0.remove(0).1, None, &path.member("c"))
}

fn literal(value: Value) -> Literal {
    Literal::new(value, None)
}

fn text(text: &str) -> Literal {
    literal(Value::Text(text.to_owned()))
}

fn number(digits: &str) -> Literal {
    literal(Value::Number(digits.to_owned()))
}

/// Of lines such as `document => path: problem`: the document is refused there, and for this.
fn refused<T: std::fmt::Debug>(read: impl Fn(&str) -> Result<T, Fault>, lines: &str) {
    for line in lines.trim().lines() {
        let (document, expected) = line.trim().split_once(" => ").expect(line);
        let fault = read(document).expect_err(document);
        let found = format!("{}: {}", fault.path, fault.problem);
        assert_eq!(found, expected, "{document}");
        assert!(!fault.hint.is_empty(), "{document}");
    }
}

#[test]
fn a_key_is_made_of_scalars() {
    let key_of = |text: &str| key(members(text, "key"), &mut (0..));
    let read = key_of(r#"{"id": "v1", "deleted_at": null}"#).unwrap();
    assert_eq!(read[0].1.as_ref().unwrap().value, text("v1").value);
    assert_eq!(read[1], ("deleted_at".to_owned(), None));
    refused(
        key_of,
        r#"
        {"id": ["v1"]} => key.id: must not be a list
        {"a": 1, "id": {"not": "v1"}} => key.id: must not be an object
        "#,
    );
}

#[test]
fn columns_keep_the_order_of_the_document() {
    let read = expected(members(r#"{"b": 1, "a": 2}"#, "expected"), &mut (0..)).unwrap();
    let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}
