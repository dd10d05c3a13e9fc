//! Updates whose conditions are repeated, and get a statement of their own.

use serde_json::{Value, json};
use volguard::{ConditionalUpdate, UpdateOutcome, Volguard, column, exists, not, one_of, outer};

use crate::support::{Observer, direct, unique};

/// Everything that ends a literal somewhere.
const HOSTILE: &str = r#"'); DROP TABLE "x"; -- \' \\ $1 $$ E'\x27' {"not": null} "#;

/// One connection, directly to the server, because the tests read its prepared statements.
async fn connect(settings: &str) -> Volguard {
    let mut config = direct();
    config.options(settings);
    let builder = Volguard::builder().config(config).pool_size(2);
    builder.connect().await.unwrap()
}

/// A table of one row.
async fn table(observer: &Observer) -> String {
    let table = unique("repeated").replace('-', "_");
    let create = format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, status text, version int NOT NULL DEFAULT 0);
         INSERT INTO {table} VALUES (1, NULL)"
    );
    observer.run(&create).await;
    table
}

/// How many statements with conditions in them the connection keeps.
async fn written(volguard: &Volguard) -> i64 {
    const SQL: &str = "SELECT count(*) FROM pg_prepared_statements
         WHERE statement LIKE '%conditional_update%' AND parameter_types = '{jsonb,jsonb,bigint}'";
    let client = volguard.pool().get().await.unwrap();
    client.query_one(SQL, &[]).await.unwrap().get(0)
}

fn count_up(volguard: &Volguard, table: &str) -> ConditionalUpdate {
    let update = volguard.update(table).key("id", 1);
    update.set("version", column("version") + 1)
}

async fn version(update: ConditionalUpdate) -> i64 {
    let outcome = update.execute().await.unwrap();
    let row = outcome.updated().expect("the conditions hold");
    row.get("version").unwrap()
}

#[tokio::test]
async fn they_answer_as_the_first_did() {
    let observer = Observer::new().await;
    let table = table(&observer).await;
    // With and without the setting that gives a backslash in a plain literal a meaning.
    for (settings, from) in [("", 0), ("-c standard_conforming_strings=off", 20)] {
        let volguard = connect(settings).await;
        for done in 1..=10 {
            let update = count_up(&volguard, &table)
                .expect("status", not(one_of([HOSTILE, "deleting"])))
                .unless(exists(&table).where_eq("id", outer("id")).where_eq("status", HOSTILE))
                .filter_sql(r"target.status IS DISTINCT FROM 'it''s'");
            assert_eq!(version(update).await, from + 2 * done - 1);
            let unmet = count_up(&volguard, &table).expect("status", one_of([HOSTILE, "\\"]));
            let outcome = unmet.execute().await.unwrap();
            assert_eq!(outcome, UpdateOutcome::Unmet(vec!["status".to_owned()]));
            let update = count_up(&volguard, &table).set_sql("status", r"NULLIF('''', '''')");
            assert_eq!(version(update).await, from + 2 * done);
        }
        assert_eq!(written(&volguard).await, 3);
    }
}

#[tokio::test]
async fn conditions_that_change_each_time_are_parameters() {
    let observer = Observer::new().await;
    let table = table(&observer).await;
    let volguard = connect("").await;
    let mut row: Value = json!({"version": 0});
    for _ in 0..100 {
        let update = count_up(&volguard, &table).expect_unchanged(&row);
        row = json!({"version": version(update).await});
    }
    assert_eq!(written(&volguard).await, 0);
}

#[tokio::test]
async fn so_many_of_them_are_kept_and_no_more() {
    let observer = Observer::new().await;
    let table = table(&observer).await;
    let volguard = connect("").await;
    for shape in 0..80 {
        for _ in 0..5 {
            version(count_up(&volguard, &table).expect("status", not(shape.to_string()))).await;
        }
    }
    assert_eq!(written(&volguard).await, 64);
}

#[tokio::test]
async fn a_new_table_of_that_name_is_noticed() {
    let observer = Observer::new().await;
    let table = table(&observer).await;
    let volguard = connect("").await;
    for expected in 1..=6 {
        assert_eq!(version(count_up(&volguard, &table)).await, expected);
    }
    let replace = format!(
        "BEGIN; DROP TABLE {table};
         CREATE TABLE {table} (version bigint DEFAULT 100, id text PRIMARY KEY, note text);
         INSERT INTO {table} (id) VALUES ('1'); COMMIT"
    );
    observer.run(&replace).await;
    assert_eq!(version(count_up(&volguard, &table)).await, 101);
    observer.run(&format!("DROP TABLE {table}")).await;
    let gone = count_up(&volguard, &table).execute().await.unwrap_err();
    assert_eq!(crate::support::code(&gone), Some("42P01"));
}
