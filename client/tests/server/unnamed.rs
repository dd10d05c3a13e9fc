//! Statements that leave nothing on the connection, for poolers in transaction mode.

use volguard::{Cleanup, StatementMode, UpdateOutcome, Volguard};

use crate::support::{LONG, Observer, direct, key, patient, session, unique};

/// Directly to the server: behind a pooler, connections and their prepared statements are the pooler's.
async fn connect(mode: StatementMode) -> Volguard {
    let builder = patient().config(direct()).pool_size(2);
    builder.statement_mode(mode).connect().await.unwrap()
}

async fn prepared_statements(volguard: &Volguard) -> i64 {
    const SQL: &str = "SELECT count(*) FROM pg_prepared_statements";
    let connection = volguard.connection().await.unwrap();
    let rows = connection.query_typed(SQL, &[]).await.unwrap();
    rows[0].get(0)
}

async fn everything(volguard: &Volguard) {
    let table = unique("things").replace('-', "_");
    let create = format!("CREATE TABLE {table} (id int PRIMARY KEY, status text)");
    Observer::new().await.run(&create).await;
    let session = session(volguard).await;
    let acquire = session.acquire(key("1")).wait(LONG);
    let lock = acquire.await.unwrap().unwrap();
    lock.set_status(Some("busy")).await.unwrap();
    lock.assert_held().await.unwrap();
    let update = volguard.update(&table).key("id", 1).set("status", "x");
    let outcome = update.fenced_by(&lock).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::NotFound);
    assert!(lock.release().await.unwrap());
    let both = session.acquire([key("1"), key("2")]).await.unwrap();
    assert!(both.unwrap().release().await.unwrap());
    assert!(session.claims().try_next().await.unwrap().is_none());
    let mut nowhere = Cleanup::default();
    nowhere.host = Some("nowhere".to_owned());
    assert!(volguard.cleanup(&nowhere).await.unwrap().is_empty());
    session.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_prepared() {
    let volguard = connect(StatementMode::Unnamed).await;
    everything(&volguard).await;
    assert_eq!(prepared_statements(&volguard).await, 0);
}

#[tokio::test]
async fn by_default_statements_are_kept() {
    let volguard = connect(StatementMode::default()).await;
    everything(&volguard).await;
    assert!(prepared_statements(&volguard).await > 0);
}
