//! The documents of the contract, and what is refused.

use deadpool_postgres::{Manager, Pool};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use super::*;
use crate::connect::StatementMode;

fn update() -> ConditionalUpdate {
    let manager = Manager::new(tokio_postgres::Config::new(), NoTls);
    let pool = Pool::builder(manager).build().unwrap();
    Volguard::from_pool(pool, StatementMode::Prepared).update("volumes")
}

fn documents(update: &ConditionalUpdate) -> Documents {
    update.documents().unwrap()
}

fn problem(update: &ConditionalUpdate) -> String {
    match update.documents() {
        Err(Error::InvalidDocument { column, problem }) => format!("{column}: {problem}"),
        Err(error) => panic!("{error}"),
        Ok(documents) => panic!("accepted: {documents:?}"),
    }
}

/// What a condition is in `expected`, and in a filter.
fn condition(condition: impl IntoCondition + Clone) -> Value {
    let update = update().expect("c", condition.clone()).only_if(is("c", condition));
    let Documents { expected, filter, .. } = documents(&update);
    assert_eq!(filter, Some(json!({"where": expected})));
    expected["c"].clone()
}

fn expression(value: impl IntoExpression) -> Value {
    documents(&update().set("c", value)).values["c"].clone()
}

fn filter(filter: impl Into<Filter>) -> Value {
    documents(&update().only_if(filter)).filter.unwrap()
}

#[test]
fn an_update_is_its_documents() {
    let built = documents(
        &update()
            .key("id", 17)
            .expect("status", one_of(["available", "error"]))
            .expect("host", None::<String>)
            .unless(exists("snapshots").where_eq("volume_id", outer("id")))
            .filter_sql("target.size % 2 = 0")
            .set("previous_status", column("status"))
            .set("status", "deleting")
            .set_sql("size", "target.size / 2"),
    );
    assert_eq!(built.key, json!({"id": 17}));
    assert_eq!(built.expected, json!({"status": ["available", "error"], "host": null}));
    assert_eq!(
        built.filter,
        Some(json!({"not": {"exists": {
            "table": "snapshots",
            "where": {"volume_id": {"eq": {"outer": "id"}}},
        }}}))
    );
    assert_eq!(built.filter_sql, Some("target.size % 2 = 0"));
    assert_eq!(built.values, json!({"previous_status": {"column": "status"}, "status": "deleting"}));
    assert_eq!(built.changes_sql, Some(json!({"size": "target.size / 2"})));
}

#[test]
fn what_is_not_asked_for_is_not_sent() {
    let built = documents(&update().key("id", 17).set("size", 1));
    assert_eq!(built.expected, json!({}));
    assert_eq!(built.filter, None);
    assert_eq!(built.filter_sql, None);
    assert_eq!(built.changes_sql, None);
}

#[test]
fn conditions() {
    assert_eq!(condition("a"), json!("a"));
    assert_eq!(condition(None::<i32>), json!(null));
    assert_eq!(condition(value([1, 2])), json!({"value": [1, 2]}));
    assert_eq!(condition(one_of([Some("a"), None])), json!(["a", null]));
    assert_eq!(condition(one_of([value(json!({"a": 1})), value("b")])), json!([{"value": {"a": 1}}, {"value": "b"}]));
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
    assert_eq!(condition(gt(sub(now(), "5 minutes"))), json!({"gt": {"sub": [{"now": true}, "5 minutes"]}}));
    assert_eq!(condition(ge(1).and(lt(column("b")))), json!({"ge": 1, "lt": {"column": "b"}}));
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
    assert_eq!(filter(not(a())), json!({"not": a_json}));
    assert_eq!(filter(!a()), filter(not(a())));
    assert_eq!(filter(any::<Filter>([])), json!({"any": []}));
}

#[test]
fn several_filters_are_demanded_together() {
    let built = update().only_if(is("a", 1)).unless(is("b", 2)).only_if(is("c", 3));
    assert_eq!(
        documents(&built).filter,
        Some(json!({"all": [
            {"where": {"a": 1}},
            {"not": {"where": {"b": 2}}},
            {"where": {"c": 3}},
        ]}))
    );
}

#[test]
fn other_tables() {
    let snapshots = || exists("snapshots");
    assert_eq!(filter(snapshots()), json!({"exists": {"table": "snapshots"}}));
    let deep = snapshots()
        .where_eq("volume_id", outer("id"))
        .where_eq("deleted", false)
        .where_eq("parent", None::<i32>)
        .where_is("status", one_of(["available", "error"]))
        .where_filter(is("size", gt(outer("size"))))
        .where_filter(!exists("backups").where_eq("snapshot_id", 3));
    let expected = json!({"exists": {
        "table": "snapshots",
        "where": {
            "volume_id": {"eq": {"outer": "id"}},
            "deleted": {"eq": false},
            "parent": {"eq": null},
            "status": ["available", "error"],
        },
        "filter": {"all": [
            {"where": {"size": {"gt": {"outer": "size"}}}},
            {"not": {"exists": {"table": "backups", "where": {"snapshot_id": {"eq": 3}}}}},
        ]},
    }});
    assert_eq!(filter(deep.clone()), expected);
    assert_eq!(filter(not(deep.clone())), json!({"not": expected}));
    assert_eq!(filter(is("a", 1) & deep), json!({"all": [{"where": {"a": 1}}, expected]}));
}

#[test]
fn values() {
    assert_eq!(expression(None::<i32>), json!(null));
    assert_eq!(expression(value(json!({"not": 1}))), json!({"value": {"not": 1}}));
    assert_eq!(expression(value(None::<i32>)), json!({"value": null}));
    assert_eq!(expression(now()), json!({"now": true}));
    assert_eq!(expression(column("a") + 1), json!({"add": [{"column": "a"}, 1]}));
    assert_eq!(
        expression(sub(column("a"), mul(2, column("b")))),
        json!({"sub": [{"column": "a"}, {"mul": [2, {"column": "b"}]}]})
    );
    assert_eq!(expression(column("a") / 2), json!({"div": [{"column": "a"}, 2]}));
    assert_eq!(expression(add(now(), "1 hour")), json!({"add": [{"now": true}, "1 hour"]}));
    assert_eq!(expression(concat("error_", column("a"))), json!({"concat": ["error_", {"column": "a"}]}));
    assert_eq!(
        expression(concat(concat(column("a"), "-"), concat(column("b"), 1))),
        json!({"concat": [{"column": "a"}, "-", {"column": "b"}, 1]})
    );
}

#[test]
fn values_that_depend_on_the_row() {
    let one = || when(is("a", lt(1)), "small");
    let branch = json!({"when": {"where": {"a": {"lt": 1}}}, "then": "small"});
    assert_eq!(expression(one()), json!({"case": [branch]}));
    assert_eq!(
        expression(one().when(exists("t"), column("b")).otherwise(column("c") + 1)),
        json!({
            "case": [branch, {"when": {"exists": {"table": "t"}}, "then": {"column": "b"}}],
            "else": {"add": [{"column": "c"}, 1]},
        })
    );
}

#[test]
fn a_literal_never_becomes_an_operator() {
    let outside = || json!({"not": "in-use"});
    for refused in [
        update().expect("c", outside()),
        update().expect("c", one_of([outside()])),
        update().expect("c", not(outside())),
        update().expect("c", ge(outside())),
        update().expect("c", ge(1).and(lt(outside()))),
        update().expect("c", ["available", "error"]),
        update().set("c", outside()),
        update().set("c", column("a") + outside()),
        update().set("c", concat("a", outside())),
        update().key("c", outside()),
    ] {
        let problem = problem(&refused);
        assert!(problem.starts_with("c: is given an "), "{problem}");
    }
    let within = |refused: &ConditionalUpdate, begin: &str| {
        let problem = problem(refused);
        assert!(problem.starts_with(begin), "{problem}");
    };
    let row = || exists("t").where_eq("c", outside());
    for filter in [
        is("c", outside()),
        any([is("a", 1), not(is("c", outside()))]),
        row().into(),
        exists("u").where_filter(row()).into(),
    ] {
        let begin = "names `c`, which is given an object";
        within(&update().only_if(filter.clone()), &format!("filter: {begin}"));
        within(&update().set("d", when(filter, 1)), &format!("d: {begin}"));
    }
    within(&update().set("d", when(row(), outside())), "d: ");
    within(&update().set("d", when(is("a", 1), 1).otherwise(outside())), "d: is given an object");
}

#[test]
fn a_row_as_read_is_what_is_expected() {
    let text = r#"{"a": null, "b": [1], "c": {"not": 1}, "d": 0.12345678901234567890123, "e": 9223372036854775807}"#;
    let row: Value = serde_json::from_str(text).unwrap();
    let built = documents(&update().expect("f", not(1)).expect_unchanged(&row));
    let mut expected = row;
    expected["f"] = json!({"not": 1});
    assert_eq!(built.expected, expected);
    assert!(built.expected.to_string().contains("0.12345678901234567890123"));
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
        update().expect_unchanged(std::collections::HashMap::from([((1, 2), 3)])),
    ] {
        let problem = problem(&refused);
        let begin = "expected: is given a row that is no ";
        assert!(problem.starts_with(begin), "{problem}");
    }
}

#[test]
fn what_is_said_twice_loses_nothing() {
    let row = || json!({"c": 1});
    for refused in [
        update().expect("c", "a").expect("c", "b"),
        update().expect_unchanged(row()).expect("c", 1),
        update().expect_unchanged(row()).expect_unchanged(row()),
        update().set("c", 1).set("c", 2),
        update().set_sql("c", "1").set_sql("c", "2"),
        update().expect("c", lt(1).and(lt(2))),
        update().filter_sql("true").filter_sql("false"),
        update().only_if(exists("t").where_eq("c", 1).where_eq("c", 2)),
    ] {
        let problem = problem(&refused);
        assert!(problem.contains("twice"), "{problem}");
    }
}
