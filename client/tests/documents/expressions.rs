//! What columns are set to, and what a literal may be.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use volguard::update::{IntoExpr, add, column, concat, div, is, lt, mul, not, now, one_of, sub, value, when};

use super::{DIGITS, expression, refuses, update};

#[test]
fn values() {
    assert_eq!(expression(value(json!({"not": 1}))), json!({"value": {"not": 1}}));
    assert_eq!(expression(value(None::<i32>)), json!({"value": null}));
    assert_eq!(expression(now()), json!({"now": true}));
    assert_eq!(expression(column("a") + 1), json!({"add": [{"column": "a"}, 1]}));
    assert_eq!(expression(column("a") - column("b")), json!({"sub": [{"column": "a"}, {"column": "b"}]}));
    assert_eq!(expression(column("a") / 2), json!({"div": [{"column": "a"}, 2]}));
    assert_eq!(
        expression(sub(column("a"), mul(2, column("b")))),
        json!({"sub": [{"column": "a"}, {"mul": [2, {"column": "b"}]}]})
    );
    assert_eq!(expression(div(1, column("a"))), json!({"div": [1, {"column": "a"}]}));
    assert_eq!(expression(add(now(), "1 hour")), json!({"add": [{"now": true}, "1 hour"]}));
    assert_eq!(expression(concat("error_", column("a"))), json!({"concat": ["error_", {"column": "a"}]}));
    let nested = concat(concat(column("a"), "-"), 1);
    assert_eq!(expression(nested), json!({"concat": [{"concat": [{"column": "a"}, "-"]}, 1]}));
}

#[test]
fn values_that_depend_on_the_row() {
    let one = || when(is("a", lt(1)), "small");
    let branch = json!({"when": {"where": {"a": {"lt": 1}}}, "then": "small"});
    assert_eq!(expression(one()), json!({"case": [branch]}));
    assert_eq!(
        expression(one().when(is("b", 2), column("b")).otherwise(column("c") + 1)),
        json!({
            "case": [branch, {"when": {"where": {"b": 2}}, "then": {"column": "b"}}],
            "else": {"add": [{"column": "c"}, 1]},
        })
    );
}

#[test]
fn branches_without_a_when_are_refused() {
    let case = || when(is("a", 1), 2);
    for expression in [
        column("a").when(is("a", 1), 2),
        column("a").otherwise(2),
        value(1).otherwise(2),
        case().otherwise(3).otherwise(4),
        case().otherwise(3).when(is("a", 1), 2),
    ] {
        refuses(&update().set("c", expression.clone()), "c: is given `.when` or `.otherwise`");
        refuses(&update().set("c", expression.clone() + 1), "c: is given ");
        refuses(&update().expect("c", lt(expression)), "c: is given ");
    }
}

fn number(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn numbers_keep_every_digit() {
    let whole = "123456789012345678901234567890123456789";
    for text in [DIGITS, whole, "1.50", "-0.0", "1e400"] {
        let nested = value(BTreeMap::from([("a", [number(text)])]));
        let built = update().expect("a", lt(number(text))).expect("b", one_of([number(text)])).set("c", nested);
        let built = built.documents().unwrap();
        assert_eq!(built.expected.get(), format!(r#"{{"a":{{"lt":{text}}},"b":[{text}]}}"#));
        assert_eq!(built.changes.get(), format!(r#"{{"c":{{"value":{{"a":[{text}]}}}}}}"#));
        let row: Box<RawValue> = serde_json::from_str(&format!(r#" {{ "a": {text}, "b": [{text}] }} "#)).unwrap();
        let built = update().key("c", number(text)).expect_unchanged(&row).set("c", number(text)).documents().unwrap();
        assert_eq!(built.key.get(), format!(r#"{{"c":{text}}}"#));
        assert_eq!(built.changes.get(), format!(r#"{{"c":{text}}}"#));
        assert_eq!(built.expected.get(), format!(r#"{{"a":{text},"b":[{text}]}}"#));
    }
}

#[test]
fn numbers_of_rust_keep_every_digit() {
    fn text(value: impl IntoExpr) -> String {
        let changes = update().set("c", value).documents().unwrap().changes;
        changes.get()[r#"{"c":"#.len()..changes.get().len() - 1].to_owned()
    }
    assert_eq!(text(i64::MAX), "9223372036854775807");
    assert_eq!(text(i64::MIN), "-9223372036854775808");
    assert_eq!(text(u64::MAX), "18446744073709551615");
    assert_eq!(text(u128::MAX), u128::MAX.to_string());
    assert_eq!(text(i128::MIN), i128::MIN.to_string());
    assert_eq!(text(0.1_f32), "0.1");
    assert_eq!(text(f64::MAX), "1.7976931348623157e+308");
}

#[test]
fn numbers_that_json_lacks_are_refused() {
    #[derive(Serialize)]
    struct Point(f64, f64);
    #[derive(Serialize)]
    struct Meter(f32);
    #[derive(Serialize)]
    enum Shape {
        Circle(f64),
        Line(f64, f64),
        Box { width: f64 },
    }
    #[derive(Serialize)]
    struct Row {
        size: Option<f64>,
    }
    for (bad, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        let begin = format!("c: is given a value that is no JSON: it has no number {name}");
        for refused in [
            update().set("c", bad),
            update().set("c", bad as f32),
            update().set("c", Some(bad)),
            update().set("c", Meter(bad as f32)),
            update().set("c", column("a") + bad),
            update().set("c", value(vec![vec![bad]])),
            update().set("c", value((1, bad))),
            update().set("c", value(Point(1.0, bad))),
            update().set("c", value(BTreeMap::from([("a", bad)]))),
            update().set("c", value(Shape::Circle(bad))),
            update().set("c", value(Shape::Line(1.0, bad))),
            update().set("c", value(Shape::Box { width: bad })),
            update().set("c", value(Row { size: Some(bad) })),
            update().key("c", bad),
            update().expect("c", bad),
            update().expect("c", one_of([1.0, bad])),
            update().expect("c", not(bad)),
            update().expect("c", lt(bad)),
        ] {
            refuses(&refused, &begin);
        }
        let row = update().expect_unchanged(Row { size: Some(bad) });
        refuses(&row, &format!("expected: is given a value that is no JSON: it has no number {name}"));
        refuses(&update().only_if(is("c", bad)), "filter: names `c`, which is given a value that is no JSON");
    }
    let finite = value((Shape::Circle(1.0), Shape::Line(1.0, 2.0), Shape::Box { width: 0.5 }, Row { size: None }));
    let written = json!({"value": [{"Circle": 1.0}, {"Line": [1.0, 2.0]}, {"Box": {"width": 0.5}}, {"size": null}]});
    assert_eq!(expression(finite), written);
}

#[test]
fn what_has_no_json_is_refused() {
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it is broken"))
        }
    }
    refuses(&update().set("c", Broken), "c: is given a value that is no JSON: it is broken");
    refuses(&update().set("c", value([Broken])), "c: is given a value that is no JSON: it is broken");
    let keyed = HashMap::from([((1, 2), 3)]);
    refuses(&update().set("c", value(keyed)), "c: is given a value that is no JSON: key must be a string");
}
