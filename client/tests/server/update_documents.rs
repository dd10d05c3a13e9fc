//! The server accepts the documents that the words of updates make, and gives them the same meaning.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_postgres::types::Json;
use volguard::update::{
    Filter, IntoCondition, IntoExpr, all, any, column, concat, div, eq, exists, exists_as, ge, gt, is, le, lt, ne, not,
    now, one_of, outer, outer_of, sub, value, when,
};
use volguard::{ConditionalUpdate, Error, UpdateOutcome, Volguard};

use crate::support::{Observer, connect, unique};

/// A volume with one snapshot, in tables of its own.
struct Stage {
    volguard: Volguard,
    observer: Observer,
    volumes: String,
    snapshots: String,
}

impl Stage {
    async fn set() -> Stage {
        let observer = Observer::new().await;
        let volumes = unique("volumes").replace('-', "_");
        let snapshots = unique("snapshots").replace('-', "_");
        let create = format!(
            "CREATE TABLE {volumes} (id int PRIMARY KEY, status text, host text, size int, used int, \
             tags text[], meta jsonb, changed timestamptz DEFAULT now()); \
             INSERT INTO {volumes} VALUES (1, 'available', NULL, 10, 4, '{{fast}}', '{{\"a\": 1}}'); \
             CREATE TABLE {snapshots} (volume_id int, deleted boolean, size int); \
             INSERT INTO {snapshots} VALUES (1, false, 10)"
        );
        observer.run(&create).await;
        Stage { volguard: connect().await, observer, volumes, snapshots }
    }

    fn update(&self) -> ConditionalUpdate {
        self.volguard.update(&self.volumes).key("id", 1).set("id", 1)
    }

    /// As text, which keeps every digit.
    async fn read(&self) -> Box<RawValue> {
        let connection = self.volguard.connection().await.unwrap();
        let sql = format!("SELECT to_jsonb(t) FROM {} t", self.volumes);
        let Json(row) = connection.query_typed(&sql, &[]).await.unwrap()[0].get(0);
        row
    }

    /// Whether a filter holds.
    async fn holds(&self, filter: Filter) -> bool {
        match self.update().only_if(filter).await.unwrap() {
            UpdateOutcome::Updated(_) => true,
            UpdateOutcome::Unmet(names) => {
                assert_eq!(names, ["filter"]);
                false
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether a condition holds, which it does in both places or in none.
    async fn is(&self, column: &str, condition: impl IntoCondition + Clone) -> bool {
        let expected = self.update().expect(column, condition.clone());
        let outcome = expected.await.unwrap();
        let holds = self.holds(is(column, condition)).await;
        assert_eq!(holds, outcome.is_updated(), "{outcome:?}");
        holds
    }

    /// What a column becomes.
    async fn becomes(&self, column: &str, value: impl IntoExpr) -> Value {
        let update = self.volguard.update(&self.volumes).key("id", 1);
        let outcome = update.set(column, value).await.unwrap();
        outcome.updated().unwrap().get(column).unwrap()
    }
}

#[tokio::test]
async fn conditions() {
    let stage = Stage::set().await;
    assert!(stage.is("status", one_of(["available", "error"])).await);
    assert!(!stage.is("status", not(one_of(["available", "error"]))).await);
    assert!(stage.is("host", not("node-1")).await);
    assert!(!stage.is("host", not("node-1").nulls_match(false)).await);
    assert!(!stage.is("host", not(one_of([Some("node-1"), None]))).await);
    assert!(stage.is("tags", value(["fast"])).await);
    assert!(stage.holds(is("meta", value(json!({"a": 1})))).await);
    assert!(!stage.holds(!is("meta", value(json!({"a": 1})))).await);
}

#[tokio::test]
async fn comparisons() {
    let stage = Stage::set().await;
    assert!(stage.is("used", lt(column("size"))).await);
    assert!(stage.is("used", le(div(column("size"), 2))).await);
    assert!(!stage.is("used", gt(column("size") - 6)).await);
    assert!(stage.is("used", ge(column("size") - 6).and(lt(5))).await);
    assert!(stage.is("used", eq(4)).await);
    assert!(!stage.is("used", ne(4)).await);
    assert!(stage.is("host", eq(None::<&str>)).await);
    assert!(!stage.is("host", gt("a")).await);
    assert!(stage.is("changed", gt(sub(now(), "1 hour"))).await);
}

#[tokio::test]
async fn filters() {
    let stage = Stage::set().await;
    let (yes, no) = (|| is("status", "available"), || is("size", lt(0)));
    assert!(stage.holds(all([yes(), yes()])).await);
    assert!(!stage.holds(all([yes(), no()])).await);
    assert!(stage.holds(any([no(), yes()])).await);
    assert!(!stage.holds(no() | no()).await);
    assert!(stage.holds(yes() & !no()).await);
    let both = stage.update().only_if(yes()).unless(no());
    assert!(both.await.unwrap().is_updated());
    let contradiction = stage.update().only_if(yes()).unless(yes());
    let outcome = contradiction.await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Unmet(vec!["filter".to_owned()]));
}

#[tokio::test]
async fn other_tables() {
    let stage = Stage::set().await;
    let snapshot = |filter| exists(&stage.snapshots, is("volume_id", outer("id")) & filter);
    assert!(stage.holds(exists(&stage.snapshots, all([]))).await);
    assert!(stage.holds(snapshot(is("deleted", false))).await);
    assert!(stage.holds(!snapshot(is("deleted", true))).await);
    assert!(stage.holds(snapshot(is("size", ge(outer("size"))))).await);
    assert!(stage.holds(!snapshot(is("size", gt(outer("size"))))).await);
    // Nested: the volume that is updated, and a snapshot with a twin.
    let twin = |row: &str| {
        let of_volume = is("volume_id", outer_of("target", "id"));
        exists_as(&stage.snapshots, "twin", of_volume & is("size", eq(outer_of(row, "size"))))
    };
    assert!(stage.holds(exists_as(&stage.snapshots, "s", is("volume_id", outer("id")) & twin("s"))).await);
    assert!(stage.holds(exists(&stage.snapshots, twin(&stage.snapshots))).await);
    assert!(!stage.holds(exists_as(&stage.snapshots, "s", is("deleted", true) & twin("s"))).await);
    let unknown = stage.update().only_if(exists_as(&stage.snapshots, "s", twin("t"))).await;
    assert!(matches!(unknown, Err(Error::MalformedDocument(_))), "{unknown:?}");
    let busy = stage.update().expect("status", "error").unless(snapshot(is("deleted", false)));
    let outcome = busy.await.unwrap();
    let names = ["status", "filter"].map(str::to_owned).to_vec();
    assert_eq!(outcome, UpdateOutcome::Unmet(names));
}

#[tokio::test]
async fn values() {
    let stage = Stage::set().await;
    assert_eq!(stage.becomes("used", column("size") * 2 - 1).await, 19);
    let joined = concat(concat("error_", column("status")), column("id"));
    assert_eq!(stage.becomes("host", joined).await, "error_available1");
    let state = when(is("size", lt(10)), "small").when(is("size", lt(100)), "large");
    assert_eq!(stage.becomes("status", state.otherwise("huge")).await, "large");
    let nothing = when(is("size", lt(0)), 1);
    assert_eq!(stage.becomes("used", nothing).await, Value::Null);
    let tricky = json!({"column": ["status", null]});
    assert_eq!(stage.becomes("meta", value(&tricky)).await, tricky);
    assert_eq!(stage.becomes("tags", value(["a", "b"])).await, json!(["a", "b"]));
    stage.becomes("changed", now() + "1 day").await;
    assert!(stage.is("changed", gt(now())).await);
}

#[tokio::test]
async fn sql_of_the_callers() {
    let stage = Stage::set().await;
    let update = stage.update().filter_sql("target.status LIKE 'avail%'").set_sql("used", "target.size % 3");
    let row = update.await.unwrap().updated().unwrap();
    assert_eq!(row.get::<i32>("used").unwrap(), 1);
    let refused = stage.update().filter_sql("target.size > 100");
    let outcome = refused.await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Unmet(vec!["filter_sql".to_owned()]));
}

/// Every column as read, whatever its type.
#[tokio::test]
async fn a_row_as_read() {
    let stage = Stage::set().await;
    let types = format!(
        "ALTER TABLE {} ADD amount numeric, ADD ratio float8, ADD big int8, ADD raw bytea, ADD part point, \
         ADD nothing jsonb, ADD null_of_json jsonb",
        stage.volumes
    );
    stage.observer.run(&types).await;
    let fill = format!(
        "UPDATE {} SET amount = 0.12345678901234567890123, ratio = 0.1 + 0.2, big = 9223372036854775807, raw = '\\xff', \
         part = '(1,2)', null_of_json = 'null', meta = '{{\"not\": null}}'",
        stage.volumes
    );
    stage.observer.run(&fill).await;

    let row = stage.read().await;
    let unchanged = stage.update().expect_unchanged(&row);
    assert!(unchanged.await.unwrap().is_updated());
    // A condition on this column would hold.
    let meta = stage.becomes("meta", value(json!({"a": 1}))).await;
    assert_eq!(meta, json!({"a": 1}));
    stage.becomes("host", "node-1").await;
    stage.becomes("big", column("big") - 1).await;
    let stale = stage.update().expect_unchanged(&row);
    let changed = ["big", "host", "meta"].map(str::to_owned).to_vec();
    let outcome = stale.await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Unmet(changed));
}

/// A struct is a row of fewer columns: what it lacks may change.
#[tokio::test]
async fn a_part_of_a_row_as_read() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Part {
        status: String,
        host: Option<String>,
    }
    let stage = Stage::set().await;
    let part: Part = serde_json::from_str(stage.read().await.get()).unwrap();
    stage.becomes("size", 11).await;
    let update = || stage.update().expect_unchanged(&part);
    assert!(update().await.unwrap().is_updated());
    stage.becomes("host", "node-1").await;
    let outcome = update().await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Unmet(vec!["host".to_owned()]));
}
