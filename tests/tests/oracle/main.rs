//! conditional_update against a reference evaluator: thousands of random rows,
//! conditions and values, for which the database must answer as plain Rust does.
//!
//! `PROPTEST_CASES` sets their number. A failing case is shrunk to a small one before it is shown.

mod evaluate;
mod generate;
mod hostile;

use evaluate::{Answer, Case, as_json};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value as Json;
use std::cell::Cell;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};
use volguard_tests::PrivateServer;

const CASES: u32 = 5_000;

const SCHEMA: &str = r#"
CREATE SCHEMA oracle;
SET search_path = oracle;
SET synchronous_commit = off;
CREATE TABLE volumes (id integer PRIMARY KEY, size integer, used integer NULL, status text COLLATE "C", name text COLLATE "C",
    deleted boolean, tags text[], meta jsonb);
CREATE TABLE snapshots (volume_id integer, size integer, status text COLLATE "C");
CREATE FUNCTION ask(volume jsonb, meta text, others jsonb, key jsonb, vals jsonb, expected jsonb, filter jsonb, filter_sql text)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer volguard.update_result;
    again volguard.update_result;
BEGIN
    -- The second time the documents are known: the statement that they came to is kept.
    FOR round IN 1..2 LOOP
        DELETE FROM volumes;
        DELETE FROM snapshots;
        INSERT INTO volumes SELECT * FROM jsonb_populate_record(NULL::volumes, volume);
        UPDATE volumes SET meta = ask.meta::jsonb;
        INSERT INTO snapshots SELECT * FROM jsonb_populate_recordset(NULL::snapshots, others);
        again := volguard.conditional_update('volumes', key, vals, expected, filter, NULL, filter_sql);
        IF again.outcome <> 'updated' AND (SELECT to_jsonb(v) FROM volumes AS v) IS DISTINCT FROM volume THEN
            RAISE 'a refusal changed the row';
        END IF;
        IF round = 2 AND again::text IS DISTINCT FROM answer::text THEN
            RAISE 'not what it was the first time: %', again;
        END IF;
        answer := again;
    END LOOP;
    RETURN to_jsonb(answer);
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('outcome', SQLSTATE, 'error', SQLERRM);
END $$;
"#;

struct Database {
    client: Client,
    ask: Statement,
    runtime: tokio::runtime::Runtime,
}

impl Database {
    fn open(server: &PrivateServer) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, ask) = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.expect("a connection");
            tokio::spawn(connection);
            client.batch_execute(SCHEMA).await.expect("the schema");
            let ask = "SELECT ask($1, $2, $3, $4, $5, $6, $7, $8)";
            let ask = client.prepare(ask).await.expect("the question");
            (client, ask)
        });
        Database { client, ask, runtime }
    }

    /// The database's answer to unchecked documents, and the rows of its tables afterwards.
    fn reaction(&self, documents: &hostile::Documents) -> (Json, String) {
        let volume = serde_json::json!({"id": 1, "size": 7, "status": "kept"});
        let (meta, snapshots) = (None::<String>, serde_json::json!([{"volume_id": 1}]));
        let filter_sql = None::<&str>;
        let hostile::Documents { key, values, expected, filter } = documents;
        let arguments: [&(dyn ToSql + Sync); 8] =
            [&volume, &meta, &snapshots, key, values, expected, filter, &filter_sql];
        const LEFT: &str = "SELECT (SELECT count(*) FROM volumes) || ' ' || (SELECT count(*) FROM snapshots)";
        self.runtime.block_on(async {
            let answer = self.client.query_one(&self.ask, &arguments).await;
            let left = self.client.query_one(LEFT, &[]).await;
            (answer.expect("an answer").get(0), left.expect("both tables").get(0))
        })
    }

    fn answer(&self, case: &Case) -> Json {
        let meta = case.volume["meta"].as_ref().map(Json::to_string);
        let snapshots: Vec<Json> = case.snapshots.iter().map(as_json).collect();
        let volume = as_json(&case.volume);
        let snapshots = Json::from(snapshots);
        let key = serde_json::json!({ "id": case.key });
        let arguments: [&(dyn ToSql + Sync); 8] =
            [&volume, &meta, &snapshots, &key, &case.values, &case.expected, &case.filter, &case.filter_sql];
        let row = self.client.query_one(&self.ask, &arguments);
        self.runtime.block_on(row).expect("an answer").get(0)
    }
}

/// The oracle's answer in the words of `update_result`.
fn expected(answer: Answer) -> Json {
    match answer {
        Answer::NotFound => {
            serde_json::json!({"outcome": "not_found", "updated": 0, "new_row": null, "unmet": []})
        }
        Answer::Unmet(unmet) => {
            serde_json::json!({"outcome": "unmet", "updated": 0, "new_row": null, "unmet": unmet})
        }
        Answer::Updated(row) => {
            serde_json::json!({"outcome": "updated", "updated": 1, "new_row": row, "unmet": []})
        }
    }
}

#[test]
fn the_database_answers_as_the_oracle_does() {
    let server = PrivateServer::builder().durable(false).start().expect("a private server");
    let database = Database::open(&server);
    let config = Config {
        failure_persistence: None,
        ..match std::env::var_os("PROPTEST_CASES") {
            Some(_) => Config::default(),
            None => Config::with_cases(CASES),
        }
    };
    let (updated, unmet) = (Cell::new(0_u32), Cell::new(0_u32));
    let result = TestRunner::new(config).run(&generate::cases(), |case| {
        let wanted = expected(case.answer());
        match wanted["outcome"].as_str() {
            Some("updated") => updated.set(updated.get() + 1),
            Some("unmet") => unmet.set(unmet.get() + 1),
            _ => {}
        }
        let got = database.answer(&case);
        match got == wanted {
            true => Ok(()),
            false => Err(TestCaseError::fail(format!("database: {got}\noracle: {wanted}"))),
        }
    });
    println!("{} cases went through, {} were refused", updated.get(), unmet.get());
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // Cases that all end the same way would show little.
    assert!(updated.get() > 100 && unmet.get() > 100);
}

#[test]
fn nothing_of_a_document_is_sql() {
    /// Syntax errors, and errors of a name that had not been looked up before.
    const OF_SQL: [&str; 4] = ["42601", "42P02", "42702", "XX000"];
    let server = PrivateServer::builder().durable(false).start().expect("a private server");
    let database = Database::open(&server);
    let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
    let result = TestRunner::new(config).run(&hostile::documents(), |documents| {
        let (answer, left) = database.reaction(&documents);
        let outcome = answer["outcome"].as_str().expect("an outcome");
        // A refusal is rolled back with the inserts before it: then the tables are as the previous call left them.
        let whole = left == "1 1" || left == "0 0";
        match whole && !OF_SQL.contains(&outcome) {
            true => Ok(()),
            false => Err(TestCaseError::fail(format!("{answer}, left: {left}"))),
        }
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
