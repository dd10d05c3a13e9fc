//! The documents that updates send, and what is refused before anything is sent.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;
use volguard::update::{
    Condition, Expr, Filter, IntoCondition, IntoExpr, add, all, any, column, concat, div, eq, exists, exists_as, ge,
    gt, is, le, lt, mul, ne, not, now, one_of, outer, outer_of, sub, value, when,
};
use volguard::{ConditionalUpdate, Error, Volguard};

fn update() -> ConditionalUpdate {
    Volguard::builder().url("host=nowhere").lazy().unwrap().update("volumes")
}

fn read(json: &RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap()
}

/// What a condition is in `expected`, and in a filter.
fn condition(condition: impl IntoCondition) -> Value {
    let condition = condition.into_condition();
    let json = read(&condition.to_json().unwrap());
    let documents = update().expect("c", condition.clone()).documents().unwrap();
    assert_eq!(read(&documents.expected), json!({"c": json}));
    assert_eq!(filter(is("c", condition)), json!({"where": {"c": json}}));
    json
}

fn expression(value: impl IntoExpr) -> Value {
    let value = value.into_expr();
    let json = read(&value.to_json().unwrap());
    let documents = update().set("c", value).documents().unwrap();
    assert_eq!(read(&documents.changes), json!({"c": json}));
    json
}

fn filter(filter: Filter) -> Value {
    let json = read(&filter.to_json().unwrap());
    let documents = update().only_if(filter).documents().unwrap();
    assert_eq!(read(&documents.filter.unwrap()), json);
    json
}

fn problem<T: Debug>(refused: Result<T, Error>) -> String {
    match refused {
        Err(Error::InvalidDocument { column, problem }) => format!("{column}: {problem}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refuses(update: &ConditionalUpdate, begin: &str) {
    let problem = problem(update.documents());
    assert!(problem.starts_with(begin), "{problem}");
}

#[test]
fn an_update_is_its_documents() {
    let update = update()
        .key("id", 17)
        .expect("status", one_of(["available", "error"]))
        .expect("host", None::<String>)
        .unless(exists("snapshots", is("volume_id", outer("id"))))
        .filter_sql("target.size % 2 = 0")
        .set("previous_status", column("status"))
        .set("status", "deleting")
        .set_sql("size", "target.size / 2");
    let built = update.documents().unwrap();
    assert_eq!(built.key.get(), r#"{"id":17}"#);
    assert_eq!(read(&built.expected), json!({"status": ["available", "error"], "host": null}));
    assert_eq!(
        read(&built.filter.unwrap()),
        json!({"not": {"exists": {
            "table": "snapshots",
            "filter": {"where": {"volume_id": {"eq": {"outer": "id"}}}},
        }}})
    );
    assert_eq!(built.filter_sql.as_deref(), Some("target.size % 2 = 0"));
    assert_eq!(read(&built.changes), json!({"previous_status": {"column": "status"}, "status": "deleting"}));
    assert_eq!(read(&built.changes_sql.unwrap()), json!({"size": "target.size / 2"}));
}

#[test]
fn what_is_not_asked_for_is_not_sent() {
    let built = update().key("id", 17).set("size", 1).documents().unwrap();
    assert_eq!(built.expected.get(), "{}");
    assert!(built.filter.is_none());
    assert_eq!(built.filter_sql, None);
    assert!(built.changes_sql.is_none());
}

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
fn filters() {
    let (a, b) = (|| is("a", 1), || is("b", not(2)));
    let (a_json, b_json) = (json!({"where": {"a": 1}}), json!({"where": {"b": {"not": 2}}}));
    assert_eq!(filter(a()), a_json);
    assert_eq!(filter(all([a(), b()])), json!({"all": [a_json, b_json]}));
    assert_eq!(filter(any([a(), b()])), json!({"any": [a_json, b_json]}));
    assert_eq!(filter(a() & b()), filter(all([a(), b()])));
    assert_eq!(filter(a() | b()), filter(any([a(), b()])));
    assert_eq!(filter(!a()), json!({"not": a_json}));
    assert_eq!(filter(any([])), json!({"any": []}));
}

#[test]
fn several_filters_are_demanded_together() {
    let built = update().only_if(is("a", 1)).unless(is("b", 2)).only_if(is("c", 3)).documents().unwrap();
    let together = json!({"all": [{"where": {"a": 1}}, {"not": {"where": {"b": 2}}}, {"where": {"c": 3}}]});
    assert_eq!(read(&built.filter.unwrap()), together);
}

#[test]
fn other_tables() {
    assert_eq!(filter(exists("t", all([]))), json!({"exists": {"table": "t", "filter": {"all": []}}}));
    let deep = is("size", gt(outer("size"))) & !exists("backups", is("snapshot_id", 3));
    assert_eq!(
        filter(exists("snapshots", deep)),
        json!({"exists": {"table": "snapshots", "filter": {"all": [
            {"where": {"size": {"gt": {"outer": "size"}}}},
            {"not": {"exists": {"table": "backups", "filter": {"where": {"snapshot_id": 3}}}}},
        ]}}})
    );
    let nested = is("pool", outer("id")) & exists("snapshots", is("volume_id", outer_of("v", "id")));
    assert_eq!(
        filter(exists_as("volumes", "v", nested)),
        json!({"exists": {"table": "volumes", "as": "v", "filter": {"all": [
            {"where": {"pool": {"eq": {"outer": "id"}}}},
            {"exists": {"table": "snapshots", "filter": {"where": {"volume_id": {"eq": {"outer": ["v", "id"]}}}}}},
        ]}}})
    );
    assert_eq!(expression(outer_of("target", "id")), json!({"outer": ["target", "id"]}));
}

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
fn json_as_the_server_reads_it() {
    let raw: Box<RawValue> = serde_json::from_str(r#"{"not": [1.50]}"#).unwrap();
    assert_eq!(Condition::raw(&raw).to_json().unwrap().get(), raw.get());
    assert_eq!(condition(Condition::raw(json!({"lt": 1}))), json!({"lt": 1}));
    assert_eq!(condition(not(Condition::raw(["a", "b"]))), json!({"not": ["a", "b"]}));
    assert_eq!(expression(Expr::raw(json!({"column": "a"})) + 1), json!({"add": [{"column": "a"}, 1]}));
    assert_eq!(condition(Expr::raw(json!({"column": "a"}))), json!({"eq": {"column": "a"}}));
    assert_eq!(filter(!Filter::raw(json!({"all": []}))), json!({"not": {"all": []}}));
}

const DIGITS: &str = "0.12345678901234567890123";

fn number(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn numbers_keep_every_digit() {
    let whole = "123456789012345678901234567890123456789";
    for text in [DIGITS, whole, "1.50", "-0.0", "1e400"] {
        assert_eq!(lt(number(text)).to_json().unwrap().get(), format!(r#"{{"lt":{text}}}"#));
        assert_eq!(one_of([number(text)]).to_json().unwrap().get(), format!("[{text}]"));
        let nested = value(BTreeMap::from([("a", [number(text)])])).to_json().unwrap();
        assert_eq!(nested.get(), format!(r#"{{"value":{{"a":[{text}]}}}}"#));
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
        value.into_expr().to_json().unwrap().get().to_owned()
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
            update().set("c", Expr::raw(json!([1])) + value([1.0, bad])),
            update().set("c", value(vec![vec![bad]])),
            update().set("c", value((1, bad))),
            update().set("c", value(Point(1.0, bad))),
            update().set("c", value(BTreeMap::from([("a", bad)]))),
            update().set("c", value(Shape::Circle(bad))),
            update().set("c", value(Shape::Line(1.0, bad))),
            update().set("c", value(Shape::Box { width: bad })),
            update().set("c", value(Row { size: Some(bad) })),
            update().set("c", Expr::raw([bad])),
            update().key("c", bad),
            update().expect("c", bad),
            update().expect("c", one_of([1.0, bad])),
            update().expect("c", not(bad)),
            update().expect("c", lt(bad)),
            update().expect("c", Condition::raw([bad])),
        ] {
            refuses(&refused, &begin);
        }
        let row = update().expect_unchanged(Row { size: Some(bad) });
        refuses(&row, &format!("expected: is given a value that is no JSON: it has no number {name}"));
        refuses(&update().only_if(Filter::raw([bad])), "filter: is given a value that is no JSON");
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
fn words_that_do_not_fit_together_are_refused() {
    for condition in [
        not(not("a")),
        not(lt(1)),
        not(column("b")),
        lt(1).nulls_match(true),
        one_of(["a"]).nulls_match(true),
        Condition::raw(json!({"not": 1})).nulls_match(true),
        lt(1).and(not(2)),
        not(2).and(lt(1)),
        lt(1).and(one_of([2])),
        lt(1).and(lt(2)),
        one_of([column("b")]),
    ] {
        assert!(problem(condition.to_json()).starts_with("condition: is "));
        refuses(&update().expect("c", condition.clone()), "c: is ");
        refuses(&update().only_if(is("c", condition)), "filter: names `c`, which is ");
    }
    let case = || when(is("a", 1), 2);
    for expression in [
        column("a").when(is("a", 1), 2),
        column("a").otherwise(2),
        value(1).otherwise(2),
        case().otherwise(3).otherwise(4),
        case().otherwise(3).when(is("a", 1), 2),
    ] {
        assert!(problem(expression.to_json()).starts_with("value: is given `.when` or `.otherwise`"));
        refuses(&update().set("c", expression.clone()), "c: is given ");
        refuses(&update().set("c", expression.clone() + 1), "c: is given ");
        refuses(&update().expect("c", lt(expression)), "c: is given ");
    }
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
fn what_is_said_twice_loses_nothing() {
    let row = || json!({"c": 1});
    for refused in [
        update().key("c", 1).key("c", 1),
        update().expect("c", "a").expect("c", "b"),
        update().expect_unchanged(row()).expect("c", 1),
        update().expect_unchanged(row()).expect_unchanged(row()),
        update().set("c", 1).set("c", 2),
        update().set_sql("c", "1").set_sql("c", "2"),
    ] {
        refuses(&refused, "c: is named twice");
    }
    refuses(&update().expect("c", lt(1).and(lt(2))), "c: is compared twice by `lt`");
    refuses(&update().filter_sql("true").filter_sql("false"), "filter_sql: is given twice");
}

#[test]
fn two_fences_are_refused_before_a_connection_is_asked_for() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(update().key("id", 1).set("a", 1).fence(1).fence(2).into_future());
    assert_eq!(problem(refused), "fence: is given twice");
}
