//! Connections that the caller had: what was left on them reaches no other user of the pool.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;
use volguard::{Volguard, sql};

use crate::support::{LONG, MOMENT, Observer, direct, key, named_direct, session, unique};

/// Its pool has two connections.
async fn small(name: &str) -> Volguard {
    named_direct(name).pool_size(2).connect().await.unwrap()
}

/// Leaves this on both connections of the pool.
async fn leave(volguard: &Volguard, text: &str) {
    let both = [volguard.connection().await.unwrap(), volguard.connection().await.unwrap()];
    for connection in both {
        connection.batch_execute(text).await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_that_was_left_open_takes_no_verb_in() {
    let (name, observer) = (unique("app"), Observer::new().await);
    let volguard = small(&name).await;
    let session = session(&volguard).await;
    leave(&volguard, "BEGIN").await;
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
    assert_eq!(observer.locks_of(&session).await, 1, "the lock is not committed");
    assert!(lock.release().await.unwrap());
    const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND xact_start IS NOT NULL";
    observer.until(0, async |o| o.number(OPEN, &[&name]).await).await;
}

#[tokio::test]
async fn an_aborted_transaction_fails_no_verb() {
    let volguard = small(&unique("app")).await;
    let session = session(&volguard).await;
    for _ in 0..2 {
        let connection = volguard.connection().await.unwrap();
        connection.batch_execute("BEGIN").await.unwrap();
        connection.batch_execute("SELECT 1 / 0").await.unwrap_err();
    }
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
    assert!(lock.release().await.unwrap());
}

#[tokio::test]
async fn settings_of_a_caller_reach_no_verb() {
    let volguard = small(&unique("app")).await;
    let session = session(&volguard).await;
    let other = crate::support::session(&volguard).await;
    leave(&volguard, "SET default_transaction_read_only = on").await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    leave(&volguard, "SET ROLE pg_monitor").await;
    lock.assert_held().await.unwrap();
    leave(&volguard, "SET statement_timeout = '50ms'").await;
    let late = other.acquire(key("1")).wait(MOMENT).await;
    assert!(late.unwrap().is_none());
    leave(&volguard, "LISTEN something; CREATE TEMP TABLE left_behind (); SELECT pg_advisory_lock(4711, 1)").await;
    for _ in 0..2 {
        let connection = volguard.connection().await.unwrap();
        let left = "SELECT (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_locks \
                    WHERE locktype = 'advisory' AND pid = pg_backend_pid()) \
                    + (to_regclass('pg_temp.left_behind') IS NOT NULL)::int";
        let left: i64 = connection.query_typed(left, &[]).await.unwrap()[0].get(0);
        assert_eq!(left, 0);
    }
    assert!(lock.release().await.unwrap());
}

/// The first call ends and the second does not.
#[tokio::test]
async fn the_second_of_two_calls_on_one_connection_is_given_up_too() {
    let (name, observer) = (unique("app"), Observer::new().await);
    let volguard = small(&name).await;
    let session = session(&volguard).await;
    let [one, two] = [session.acquire(key("1")), session.acquire(key("2"))];
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    let (blocker, connection) = direct().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = "BEGIN; SELECT FROM volguard.workers WHERE token = ";
    blocker.batch_execute(&format!("{lock} {} FOR UPDATE", two.token())).await.unwrap();
    let connection = volguard.connection().await.unwrap();
    let calls = async {
        let (first, second) = tokio::join!(
            sql::assert_held(&connection, one.token()),
            sql::set_status(&connection, two.token(), Some("busy"))
        );
        first.and(second)
    };
    timeout(MOMENT, calls).await.unwrap_err();
    drop(connection);
    observer.until(0, async |o| o.running(&name, "set_status").await).await;
    blocker.batch_execute("COMMIT").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    two.assert_held().await.unwrap();
}

/// Rows that are not read, and a copy that is not ended.
#[tokio::test]
async fn what_is_half_read_or_half_sent_disturbs_no_verb() {
    let volguard = small(&unique("app")).await;
    let session = session(&volguard).await;
    for _ in 0..3 {
        let connection = volguard.connection().await.unwrap();
        let none: [(i32, tokio_postgres::types::Type); 0] = [];
        let rows = connection.query_typed_raw("SELECT generate_series(1, 300000)", none).await.unwrap();
        drop(rows);
        drop(connection);
        let connection = volguard.connection().await.unwrap();
        connection.batch_execute("CREATE TEMP TABLE copied (a text)").await.unwrap();
        let sink: tokio_postgres::CopyInSink<&[u8]> = connection.copy_in("COPY copied FROM STDIN").await.unwrap();
        drop(sink);
        drop(connection);
        let lock = timeout(LONG / 4, session.acquire(key("1")).wait(LONG)).await.unwrap().unwrap().unwrap();
        assert!(lock.release().await.unwrap());
    }
}
