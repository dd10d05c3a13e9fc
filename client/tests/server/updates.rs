//! Conditional updates end to end.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;
use volguard::update::{add, column, not, one_of};
use volguard::{Error, UpdateOutcome, Volguard};

use crate::support::{Observer, code, connect, key, session, unique};

#[derive(Debug, Deserialize, PartialEq)]
struct Volume {
    id: Uuid,
    status: String,
    previous_status: Option<String>,
    size: i64,
}

/// A table of its own with one volume in it.
async fn volume(observer: &Observer, status: &str, size: i64) -> (String, Uuid) {
    let (table, id) = (unique("volumes").replace('-', "_"), Uuid::new_v4());
    let create = format!(
        "CREATE TABLE {table} (id uuid PRIMARY KEY, status text, previous_status text, size bigint, \
         attach_status text); \
         INSERT INTO {table} VALUES ('{id}', '{status}', NULL, {size}, NULL)"
    );
    observer.run(&create).await;
    (table, id)
}

async fn setup() -> (Volguard, Observer, String, Uuid) {
    let observer = Observer::new().await;
    let (table, id) = volume(&observer, "available", 10).await;
    (connect().await, observer, table, id)
}

#[tokio::test]
async fn goes_through_and_returns_the_row() {
    let (volguard, _observer, table, id) = setup().await;
    let outcome = volguard
        .update(&table)
        .key("id", id)
        .expect("status", one_of(["available", "error"]))
        .expect("attach_status", not("attached"))
        .expect("previous_status", None::<String>)
        .set("previous_status", column("status"))
        .set("status", "extending")
        .set("size", add(column("size"), 5) * 2)
        .await
        .unwrap();
    assert!(outcome.is_updated());
    let row = outcome.updated().unwrap();
    assert_eq!(row.get::<i64>("size").unwrap(), 30);
    assert!(matches!(row.get::<i64>("nothing"), Err(Error::Deserialize(_))));
    let expected =
        Volume { id, status: "extending".to_owned(), previous_status: Some("available".to_owned()), size: 30 };
    assert_eq!(row.deserialize::<Volume>().unwrap(), expected);
}

#[tokio::test]
async fn a_refusal_names_all_conditions() {
    let (volguard, _observer, table, id) = setup().await;
    let update = volguard
        .update(&table)
        .key("id", id)
        .expect("status", "error")
        .expect("size", 10)
        .expect("attach_status", not("attached").nulls_match(false))
        .set("status", "deleting");
    let UpdateOutcome::Unmet(mut columns) = update.await.unwrap() else {
        panic!("it went through");
    };
    columns.sort();
    assert_eq!(columns, ["attach_status", "status"]);
    let elsewhere = volguard.update(&table).key("id", Uuid::new_v4()).set("size", 1);
    assert_eq!(elsewhere.await.unwrap(), UpdateOutcome::NotFound);
}

#[tokio::test]
async fn of_two_that_want_the_same_one_wins() {
    let (volguard, _observer, table, id) = setup().await;
    let mut rivals = Vec::new();
    for _ in 0..8 {
        let update = volguard.update(&table).key("id", id).expect("status", "available").set("status", "deleting");
        rivals.push(tokio::spawn(update.into_future()));
    }
    let mut winners = 0;
    for rival in rivals {
        winners += usize::from(rival.await.unwrap().unwrap().is_updated());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_lost_lock_fences() {
    let (volguard, _observer, table, id) = setup().await;
    let session = session(&volguard).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let update = volguard.update(&table).key("id", id).set("size", 1).fenced_by(&lock);
    assert!(update.clone().await.unwrap().is_updated());
    let force = "SELECT volguard.force_release($1, 'test')::int::bigint";
    assert_eq!(Observer::new().await.number(force, &[&lock.token()]).await, 1);
    assert_eq!(update.await.unwrap(), UpdateOutcome::Fenced);
    assert!(lock.loss().is_some());
}

#[tokio::test]
async fn joins_a_transaction_of_the_callers() {
    let (volguard, observer, table, id) = setup().await;
    let update = volguard.update(&table).key("id", id).set("size", 99);
    let mut connection = volguard.connection().await.unwrap();
    let transaction = connection.transaction().await.unwrap();
    let outcome = update.clone().within(&transaction).await.unwrap();
    assert!(outcome.is_updated());
    transaction.rollback().await.unwrap();
    let size = format!("SELECT size FROM {table}");
    assert_eq!(observer.number(&size, &[]).await, 10);
    let transaction = connection.transaction().await.unwrap();
    assert!(update.within(&transaction).await.unwrap().is_updated());
    transaction.commit().await.unwrap();
    assert_eq!(observer.number(&size, &[]).await, 99);
}

#[tokio::test]
async fn the_servers_refusals_keep_their_sqlstate() {
    let (volguard, _observer, table, id) = setup().await;
    let base = volguard.update(&table).key("id", id);
    let cases = [
        (volguard.update("no_such_table").key("id", id).set("size", 1), "42P01"),
        (base.clone().set("no_such_column", 1), "42703"),
        (base.clone().set("size", "not a number"), "22P02"),
        (volguard.update(&table).key("no_such_column", 1).set("size", 1), "42703"),
    ];
    for (update, expected) in cases {
        let refused = update.await.unwrap_err();
        assert_eq!(code(&refused), Some(expected), "{refused}");
        assert!(!refused.is_retryable());
    }
}

#[tokio::test]
async fn numbers_keep_every_digit() {
    let (volguard, observer, table, id) = setup().await;
    observer.run(&format!("ALTER TABLE {table} ALTER size TYPE numeric")).await;
    let huge = RawValue::from_string("12345678901234567890.000000000000000000001".to_owned()).unwrap();
    let update = volguard.update(&table).key("id", id).set("size", &huge);
    let row = update.await.unwrap().updated().unwrap();
    assert_eq!(row.get::<Box<RawValue>>("size").unwrap().get(), huge.get());
    let same = volguard.update(&table).key("id", id).expect("size", &huge).set("status", "large");
    assert!(same.await.unwrap().is_updated());
}
