//! Values of odd shapes: each arrives as it is, or is refused before it is sent or by the server, never as another.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde::ser::Serializer;
use serde_json::value::RawValue;
use volguard::update::{one_of, value};
use volguard::{Error, UpdateOutcome, Volguard};

use crate::support::{Observer, connect, unique};

struct Stage {
    volguard: Volguard,
    observer: Observer,
    table: String,
}

impl Stage {
    async fn set() -> Stage {
        let (volguard, observer, table) = (connect().await, Observer::new().await, unique("odd").replace('-', "_"));
        let create = "(id int PRIMARY KEY, document jsonb, number numeric, text text, wide bigint)";
        observer.run(&format!("CREATE TABLE {table} {create}; INSERT INTO {table} VALUES (1)")).await;
        Stage { volguard, observer, table }
    }

    async fn set_to(&self, column: &str, to: impl volguard::update::IntoExpr) -> Result<UpdateOutcome, Error> {
        self.volguard.update(&self.table).key("id", 1).set(column, to).await
    }

    /// Sets it, and asks the server whether it equals this SQL.
    async fn is(&self, column: &str, to: impl volguard::update::IntoExpr, sql: &str) {
        let outcome = self.set_to(column, to).await;
        assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))), "{sql}: {outcome:?}");
        let same = format!("SELECT count(*) FROM {} WHERE {column} IS NOT DISTINCT FROM {sql}", self.table);
        assert_eq!(self.observer.number(&same, &[]).await, 1, "{sql}");
    }

    async fn refused(&self, column: &str, to: impl volguard::update::IntoExpr) -> Error {
        self.set_to(column, to).await.expect_err("refused")
    }
}

#[derive(Serialize)]
struct Flat {
    a: i32,
    #[serde(flatten)]
    rest: HashMap<String, f64>,
}

#[derive(Serialize)]
enum Shape {
    Unit,
    Newtype(f64),
    Tuple(i32, f32),
    Struct { x: Option<f64> },
}

#[derive(Serialize)]
#[serde(tag = "t", content = "c")]
enum Tagged {
    One(f64),
}

/// Bytes, as `serde_bytes` writes them.
struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[tokio::test]
async fn what_json_has_arrives_as_it_is() {
    let stage = Stage::set().await;
    stage.is("document", value(BTreeMap::from([(1_u8, "a"), (2, "b")])), r#"'{"1": "a", "2": "b"}'"#).await;
    stage.is("document", value(BTreeMap::from([(true, 1)])), r#"'{"true": 1}'"#).await;
    stage.is("document", value(Bytes(&[0, 255])), "'[0, 255]'").await;
    stage.is("document", value(Flat { a: 1, rest: [("b".into(), 2.5)].into() }), r#"'{"a": 1, "b": 2.5}'"#).await;
    stage
        .is(
            "document",
            value([Shape::Unit, Shape::Newtype(1.5), Shape::Tuple(1, 0.1), Shape::Struct { x: None }]),
            r#"'["Unit", {"Newtype": 1.5}, {"Tuple": [1, 0.1]}, {"Struct": {"x": null}}]'"#,
        )
        .await;
    stage.is("document", value(Tagged::One(1.0)), r#"'{"t": "One", "c": 1.0}'"#).await;
    stage.is("number", i128::MIN, "-170141183460469231731687303715884105728").await;
    stage.is("number", u128::MAX, "340282366920938463463374607431768211455").await;
    stage.is("number", f64::MAX, "1.7976931348623157e308").await;
    stage.is("number", 5e-324, "5e-324").await;
    stage.is("number", 0.1_f32, "0.1").await;
    stage.is("number", RawValue::from_string("1e300".to_owned()).unwrap(), "1e300").await;
    stage
        .is(
            "number",
            RawValue::from_string(format!("{}.5", "9".repeat(400))).unwrap(),
            &format!("{}.5", "9".repeat(400)),
        )
        .await;
    stage.is("wide", i64::MIN, "-9223372036854775808").await;
    for text in [
        "it's",
        "\"quoted\"",
        "\\u0000",
        "\\",
        "{\"column\": \"id\"}",
        "[1]",
        "null",
        " \t\n\r\u{1}",
        "\u{10ffff}🦀",
        "$1",
        "",
    ] {
        let literal = format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        stage.is("text", text, &literal).await;
        let expected =
            stage.volguard.update(&stage.table).key("id", 1).expect("text", one_of([text])).set("wide", 1).await;
        assert!(expected.unwrap().is_updated(), "{text}");
    }
    stage.is("text", 'c', "'c'").await;
    stage.is("text", (), "NULL").await;
    stage.is("text", Some(Some("x")), "'x'").await;
    let long = "x".repeat(5_000_000);
    stage.is("text", long.as_str(), "repeat('x', 5000000)").await;
}

#[tokio::test]
async fn what_json_does_not_have_is_refused_and_not_sent() {
    let stage = Stage::set().await;
    let nan = f64::NAN;
    let refused = [
        stage.refused("number", nan).await,
        stage.refused("number", f32::NEG_INFINITY).await,
        stage.refused("document", value([[nan]])).await,
        stage.refused("document", value(Flat { a: 1, rest: [("b".into(), nan)].into() })).await,
        stage.refused("document", value(Shape::Newtype(nan))).await,
        stage.refused("document", value(Shape::Struct { x: Some(nan) })).await,
        stage.refused("document", value(Tagged::One(nan))).await,
        stage.refused("document", value(HashMap::from([(vec![1], 1)]))).await,
        stage.refused("document", value(HashMap::from([((1, 2), 1)]))).await,
        stage.refused("document", value(HashMap::from([(None::<String>, 1)]))).await,
        stage.refused("text", Bytes(b"x")).await,
        stage.refused("text", Flat { a: 1, rest: HashMap::new() }).await,
        stage.refused("text", Shape::Newtype(1.0)).await,
        stage.refused("text", RawValue::from_string("  {\"column\": \"id\"}".to_owned()).unwrap()).await,
    ];
    for error in refused {
        assert!(matches!(error, Error::InvalidDocument { .. }), "{error:?}");
    }
}

/// A character that Postgres has not, a number out of range, a document deeper than the server reads: an error, and the
/// connection is as good as before.
#[tokio::test]
async fn what_the_server_cannot_store_is_an_error_of_it() {
    let stage = Stage::set().await;
    let deep = |depth| RawValue::from_string("[".repeat(depth) + &"]".repeat(depth)).unwrap();
    for error in [
        stage.refused("text", "a\0b").await,
        stage.refused("document", value("a\0b")).await,
        stage.refused("wide", u64::MAX).await,
        stage.refused("document", value(BTreeMap::from([("\0", 1)]))).await,
    ] {
        assert!(matches!(error, Error::Database(_) | Error::MalformedDocument(_)), "{error:?}");
        assert!(!error.is_retryable(), "{error:?}");
    }
    stage.is("document", value(deep(25)), &format!("'{}'", deep(25))).await;
    for depth in [100, 100_000] {
        let refused = stage.refused("document", value(deep(depth))).await;
        assert!(!refused.is_retryable(), "{refused}");
    }
    let session = crate::support::session(&stage.volguard).await;
    for key in [("volume", "a\0b"), ("vol\0", "1")] {
        let refused = session.acquire(key).await.unwrap_err();
        assert!(matches!(refused, Error::Database(_)) && !refused.is_retryable(), "{refused:?}");
        session.acquire([key, ("volume", "other")]).await.unwrap_err();
    }
    stage.volguard.register("a\0b", "test").await.unwrap_err();
    let odd = crate::support::own("' \" \\ $1 🦀");
    let lock = session.acquire(("volume", odd.as_str())).await.unwrap().unwrap();
    assert!(lock.release().await.unwrap());
    let both = session.acquire([("volume", odd.as_str()), ("vol\"ume", odd.as_str())]).await.unwrap().unwrap();
    assert!(both.release().await.unwrap());
}
