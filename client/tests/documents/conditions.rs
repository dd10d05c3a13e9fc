//! What columns are expected to be.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;
use volguard::update::{
    Condition, Expr, Filter, IntoCondition, any, column, concat, eq, exists, ge, gt, is, le, lt, ne, not, now, one_of,
    outer, value, when,
};

use super::{DIGITS, condition, expression, filter, problem, refuses, update};

#[test]
fn literals() {
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Status {
        InUse,
    }
    #[derive(Serialize)]
    struct Size(i64);
    let id = Uuid::from_u128(7);
    assert_eq!(condition("a"), json!("a"));
    assert_eq!(condition(String::from("a")), json!("a"));
    assert_eq!(condition(true), json!(true));
    assert_eq!(condition(None::<i32>), json!(null));
    assert_eq!(condition(Some(3)), json!(3));
    assert_eq!(condition(id), json!("00000000-0000-0000-0000-000000000007"));
    assert_eq!(condition(Some(&id)), condition(id));
    assert_eq!(condition(Status::InUse), json!("in_use"));
    assert_eq!(condition(Size(5)), json!(5));
    assert_eq!(condition(json!("{}")), json!("{}"));
    assert_eq!(expression(None::<i32>), json!(null));
    assert_eq!(expression(id), json!("00000000-0000-0000-0000-000000000007"));
    assert_eq!(expression(Status::InUse), json!("in_use"));
    assert_eq!(update().key("id", id).documents().unwrap().key.get(), format!(r#"{{"id":"{id}"}}"#));
}

#[test]
fn conditions() {
    assert_eq!(condition(value([1, 2])), json!({"value": [1, 2]}));
    assert_eq!(condition(one_of([Some("a"), None])), json!(["a", null]));
    assert_eq!(condition(one_of([value(json!({"a": 1})), value("b")])), json!([{"value": {"a": 1}}, {"value": "b"}]));
    assert_eq!(condition(one_of::<i32>([])), json!([]));
    assert_eq!(condition(not("a")), json!({"not": "a"}));
    assert_eq!(condition(not(None::<i32>)), json!({"not": null}));
    assert_eq!(condition(not(value([1]))), json!({"not": {"value": [1]}}));
    assert_eq!(condition(not(one_of(["a", "b"])).nulls_match(false)), json!({"not": ["a", "b"], "null": false}));
    assert_eq!(condition(not("a").nulls_match(true)), json!({"not": "a", "null": true}));
}

#[test]
fn comparisons() {
    assert_eq!(condition(lt(1)), json!({"lt": 1}));
    assert_eq!(condition(le(1.5)), json!({"le": 1.5}));
    assert_eq!(condition(gt(column("b"))), json!({"gt": {"column": "b"}}));
    assert_eq!(condition(ge(column("b") * 2)), json!({"ge": {"mul": [{"column": "b"}, 2]}}));
    assert_eq!(condition(eq(None::<i32>)), json!({"eq": null}));
    assert_eq!(condition(ne(value([1]))), json!({"ne": {"value": [1]}}));
    assert_eq!(condition(gt(now() - "5 minutes")), json!({"gt": {"sub": [{"now": true}, "5 minutes"]}}));
    assert_eq!(condition(ge(1).and(lt(column("b")))), json!({"ge": 1, "lt": {"column": "b"}}));
    assert_eq!(condition(ge(1).and(lt(9)).and(ne(5))), json!({"ge": 1, "lt": 9, "ne": 5}));
}

#[test]
fn an_expression_as_a_condition_is_what_the_column_equals() {
    assert_eq!(condition(column("b") + 1), json!({"eq": {"add": [{"column": "b"}, 1]}}));
    assert_eq!(condition(when(is("a", 1), 2)), condition(eq(when(is("a", 1), 2))));
    assert_eq!(condition(outer("id")), json!({"eq": {"outer": "id"}}));
    assert_eq!(condition((column("b") + 1).into_condition().and(ne(3)))["ne"], json!(3));
}

#[test]
fn words_that_do_not_fit_together_are_refused() {
    for condition in [
        not(not("a")),
        not(lt(1)),
        not(column("b")),
        lt(1).nulls_match(true),
        one_of(["a"]).nulls_match(true),
        lt(1).and(not(2)),
        not(2).and(lt(1)),
        lt(1).and(one_of([2])),
        lt(1).and(lt(2)),
        one_of([column("b")]),
    ] {
        refuses(&update().expect("c", condition.clone()), "c: is ");
        refuses(&update().only_if(is("c", condition)), "filter: names `c`, which is ");
    }
}

#[test]
fn a_literal_never_becomes_an_operator() {
    let outside = || json!({"not": "in-use"});
    let raw: Box<RawValue> = serde_json::from_str(r#" {"not": "in-use"}"#).unwrap();
    let posing = json!({"$serde_json::private::RawValue": r#"{"not": "in-use"}"#});
    for refused in [
        update().expect("c", &posing),
        update().set("c", posing),
        update().expect("c", outside()),
        update().expect("c", &raw),
        update().expect("c", one_of([outside()])),
        update().expect("c", one_of([&raw])),
        update().expect("c", not(outside())),
        update().expect("c", ge(outside())),
        update().expect("c", ge(1).and(lt(outside()))),
        update().expect("c", not(outside()).nulls_match(true)),
        update().expect("c", ["available", "error"]),
        update().expect("c", not(["available", "error"])),
        update().set("c", outside()),
        update().set("c", &raw),
        update().set("c", column("a") + outside()),
        update().set("c", concat("a", outside())),
        update().set("c", when(is("a", 1), outside())),
        update().set("c", when(is("a", 1), 1).otherwise(outside())),
        update().key("c", outside()),
        update().key("c", [1]),
    ] {
        refuses(&refused, "c: is given an ");
    }
    for filter in [
        is("c", outside()),
        any([is("a", 1), !is("c", outside())]),
        exists("t", is("c", outside())),
        exists("u", is("d", 1) & exists("t", is("c", outside()))),
    ] {
        let begin = "names `c`, which is given an object";
        refuses(&update().only_if(filter.clone()), &format!("filter: {begin}"));
        refuses(&update().set("d", when(filter, 1)), &format!("d: {begin}"));
    }
    // A string stays a string, whatever is in it.
    assert_eq!(condition(r#"{"not": "in-use"}"#), json!(r#"{"not": "in-use"}"#));
    assert_eq!(expression("\"], {\"now\": true}"), json!("\"], {\"now\": true}"));
    assert_eq!(filter(is("a\": 1, \"b", 1)), json!({"where": {"a\": 1, \"b": 1}}));
}

#[test]
fn a_row_as_read_is_what_is_expected() {
    let columns = format!(r#""a":null,"b":[1],"c":{{"not": 1}},"d":{DIGITS},"e":9223372036854775807"#);
    let row: Box<RawValue> = serde_json::from_str(&format!("{{{columns}}}")).unwrap();
    let built = update().expect("f", not(1)).expect_unchanged(&row).documents().unwrap();
    assert_eq!(built.expected.get(), format!(r#"{{{columns},"f":{{"not":1}}}}"#));
}

#[test]
fn what_is_no_row_is_refused() {
    #[derive(Serialize)]
    struct Nameless(i32, i32);
    for refused in [
        update().expect_unchanged([("a", 1)]),
        update().expect_unchanged(Nameless(1, 2)),
        update().expect_unchanged(None::<Value>),
        update().expect_unchanged(json!({"a": 1}).to_string()),
        update().expect_unchanged(HashMap::from([((1, 2), 3)])),
    ] {
        refuses(&refused, "expected: is given a ");
    }
}

#[test]
fn json_as_the_server_reads_it() {
    let raw: Box<RawValue> = serde_json::from_str(r#"{"not": [1.50]}"#).unwrap();
    assert!(update().expect("c", Condition::raw(&raw)).documents().unwrap().expected.get().contains(raw.get()));
    assert_eq!(condition(Condition::raw(json!({"lt": 1}))), json!({"lt": 1}));
    assert_eq!(condition(not(Condition::raw(["a", "b"]))), json!({"not": ["a", "b"]}));
    assert_eq!(expression(Expr::raw(json!({"column": "a"})) + 1), json!({"add": [{"column": "a"}, 1]}));
    assert_eq!(condition(Expr::raw(json!({"column": "a"}))), json!({"eq": {"column": "a"}}));
    assert_eq!(filter(!Filter::raw(json!({"all": []}))), json!({"not": {"all": []}}));
    let refused = update().only_if(Filter::raw([f64::NAN])).documents();
    assert!(problem(refused).starts_with("filter: is given a value that is no JSON"));
}
