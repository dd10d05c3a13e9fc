//! Statements that leave nothing on the connection, for poolers in transaction mode.

use volguard::{Cleanup, StatementMode, Volguard};

use crate::support::{LONG, connect, session, url};

async fn prepared_statements(volguard: &Volguard) -> i64 {
    let client = volguard.pool().get().await.unwrap();
    const SQL: &str = "SELECT count(*) FROM pg_prepared_statements";
    let rows = client.query_typed(SQL, &[]).await.unwrap();
    rows[0].get(0)
}

async fn everything(volguard: &Volguard) {
    let session = session(volguard).await;
    let lock = session
        .acquire("volume", "1")
        .wait(LONG)
        .await
        .unwrap()
        .unwrap();
    lock.set_status(Some("busy")).await.unwrap();
    lock.assert_held().await.unwrap();
    let missing = volguard
        .update("pg_catalog.pg_class")
        .key("oid", 0)
        .set("relname", "x");
    let _ = missing.fenced_by(&lock).execute().await;
    assert!(lock.release().await.unwrap());
    session.reconcile().await.unwrap();
    volguard
        .cleanup(Cleanup::all().host("nowhere"))
        .await
        .unwrap();
    session.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_prepared() {
    let builder = Volguard::builder().url(&url()).pool_size(2);
    let volguard = builder
        .statement_mode(StatementMode::Unnamed)
        .connect()
        .await
        .unwrap();
    everything(&volguard).await;
    assert_eq!(prepared_statements(&volguard).await, 0);
}

#[tokio::test]
async fn by_default_statements_are_kept() {
    let volguard = connect().await;
    everything(&volguard).await;
    assert!(prepared_statements(&volguard).await > 0);
}
