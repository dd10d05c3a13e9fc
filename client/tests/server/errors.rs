//! How the server's errors are sorted.

use std::error::Error as _;
use std::time::Duration;

use tokio::time::sleep;
use volguard::{Error, Volguard};

use crate::support::{MOMENT, client, code, connect, key, session, unique};

/// The error that a statement raising this SQLSTATE fails with.
async fn raised(code: &str) -> Error {
    let connection = connect().await.connection().await.unwrap();
    let raise = format!("DO $$ BEGIN RAISE 'what went wrong' USING ERRCODE = '{code}', HINT = 'what to do'; END $$");
    Error::from(connection.batch_execute(&raise).await.unwrap_err())
}

#[tokio::test]
async fn own_sqlstates_have_variants() {
    assert!(matches!(raised("VG001").await, Error::ServiceFenced(_)));
    assert!(matches!(raised("VG002").await, Error::TokenNotHeld(_)));
    assert!(matches!(raised("VG003").await, Error::MalformedDocument(_)));
    assert!(matches!(raised("VG004").await, Error::LeaseExpired(_)));
    assert!(matches!(raised("55000").await, Error::Database(_)));
    let refused = connect().await.register("host", "").await.unwrap_err();
    assert!(matches!(refused, Error::Database(_)));
}

#[tokio::test]
async fn the_servers_words_are_kept() {
    for expected in ["VG001", "VG002", "VG003", "VG004", "22023"] {
        let error = raised(expected).await;
        assert_eq!(code(&error), Some(expected));
        assert_eq!(error.to_string(), format!("what went wrong ({expected}; what to do)"));
        assert_eq!(error.database_error().unwrap().hint(), Some("what to do"));
        assert!(error.source().unwrap().is::<tokio_postgres::Error>());
    }
}

#[tokio::test]
async fn what_passes_is_retryable() {
    for code in ["VG004", "40001", "40003", "40P01", "55P03", "53300", "57014", "57P01", "57P03", "08006", "25006"] {
        assert!(raised(code).await.is_retryable(), "{code}");
    }
    for code in
        ["VG001", "VG002", "VG003", "22023", "42501", "42P01", "23505", "55000", "0A000", "28000", "28P01", "3D000"]
    {
        assert!(!raised(code).await.is_retryable(), "{code}");
    }
}

#[tokio::test]
async fn a_killed_connection_is_retryable() {
    let connection = connect().await.connection().await.unwrap();
    let terminate = "SELECT pg_terminate_backend(pg_backend_pid())";
    let killed = Error::from(connection.batch_execute(terminate).await.unwrap_err());
    assert!(killed.is_retryable(), "{killed}");
    let closed = Error::from(connection.batch_execute("SELECT 1").await.unwrap_err());
    assert!(closed.is_retryable() && closed.sqlstate().is_none(), "{closed}");
}

/// A password that stands in the wrong place, because it was not escaped, is in no message.
#[tokio::test]
async fn no_error_shows_a_part_of_a_password() {
    for url in [
        "postgresql://u:first@Secret7@127.0.0.1:1/x",
        "postgresql://u:a%zzSecret7@127.0.0.1:1/x",
        "postgresql://u:a/Secret7@127.0.0.1:1/x",
        "postgresql://u:a?Secret7=1@127.0.0.1:1/x",
        "postgresql://u:a#Secret7@127.0.0.1:1/x",
        "postgresql://u:a[Secret7]@127.0.0.1:1/x",
        "postgresql://u:@Secret7:Secret7@127.0.0.1:1/x",
        "postgresql://u:a@b/Secret7@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=u&password=a&Secret7",
        "postgresql://127.0.0.1:1/x?user=u&password=a&Secret7=1",
        "postgresql://127.0.0.1:1/x?user=u&password=a%Secret7",
        "host=127.0.0.1 port=1 user=u dbname=x password=a Secret7",
        "host=127.0.0.1 port=1 user=u dbname=x password=a Secret7=b",
        "host=127.0.0.1 port=1 user=u dbname=x password='a'Secret7",
        "host=127.0.0.1 port=1 user=u dbname=x password='aSecret7",
        "host=127.0.0.1 port=1 user=u dbname=x password=Secret7",
    ] {
        let builder = Volguard::builder().url(url).connect_timeout(MOMENT);
        let mut told = format!("{builder:?}");
        match builder.lazy() {
            Ok(volguard) => {
                told += &format!("{volguard:?}");
                let error = volguard.connection().await.unwrap_err();
                told += &format!(" {error} {error:?}");
            }
            Err(error) => told += &format!(" {error} {error:?}"),
        }
        assert!(!told.contains("Secret7"), "{url}: {told}");
    }
}

#[tokio::test]
async fn times_without_an_end_are_times_too() {
    let all = Duration::MAX;
    let volguard = client().time_limit(all).connect_timeout(all).connect().await.unwrap();
    let one = session(&volguard).await;
    let lock = one.acquire(key("1")).wait(all).await.unwrap().unwrap();
    assert!(one.acquire(key("1")).wait(MOMENT / 6).await.unwrap().is_none());
    let other = session(&volguard).await;
    assert!(other.acquire(key("1")).wait(MOMENT / 6).await.unwrap().is_none());
    let waiting = tokio::spawn(other.acquire(key("1")).wait(all).into_future());
    sleep(MOMENT).await;
    assert!(lock.release().await.unwrap());
    assert!(waiting.await.unwrap().unwrap().unwrap().release().await.unwrap());
    one.stop().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").janitor(all);
    registration.await.unwrap().stop().await.unwrap();
}
