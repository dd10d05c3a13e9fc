//! The documents that updates send, and what is refused before anything is sent.

mod conditions;
mod expressions;
mod filters;

use std::fmt::Debug;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use volguard::update::{Filter, IntoCondition, IntoExpr, column, exists, is, lt, one_of, outer};
use volguard::{ConditionalUpdate, Error, Volguard};

const DIGITS: &str = "0.12345678901234567890123";

fn update() -> ConditionalUpdate {
    Volguard::builder().url("host=nowhere").lazy().unwrap().update("volumes")
}

fn read(json: &RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap()
}

/// What a condition is in `expected`, and in a filter.
fn condition(condition: impl IntoCondition) -> Value {
    let condition = condition.into_condition();
    let json = read(&update().expect("c", condition.clone()).documents().unwrap().expected)["c"].take();
    assert_eq!(filter(is("c", condition)), json!({"where": {"c": json}}));
    json
}

fn expression(value: impl IntoExpr) -> Value {
    read(&update().set("c", value).documents().unwrap().changes)["c"].take()
}

fn filter(filter: Filter) -> Value {
    read(&update().only_if(filter).documents().unwrap().filter.unwrap())
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
