//! Taking, keeping and freeing locks.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};
use uuid::Uuid;
use volguard::{Error, Lock, Loss, Session};

use crate::support::{LONG, MOMENT, Observer, code, connect, own, plain, session, session_in, unique};

async fn two_sessions() -> (Session, Session) {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    (session_in(&volguard, &cluster).await, session_in(&volguard, &cluster).await)
}

async fn take(session: &Session, id: &str) -> Lock {
    session.acquire("volume", &own(id)).wait(LONG).await.unwrap().unwrap()
}

#[tokio::test]
async fn one_holder_at_a_time_and_tokens_grow() {
    let (one, two) = two_sessions().await;
    let first = take(&one, "1").await;
    assert!(two.acquire("volume", &own("1")).await.unwrap().is_none());
    assert!(one.acquire("volume", &own("1")).await.unwrap().is_none());
    let other_name = two.acquire("volume", &own("1")).lock_name("data").await.unwrap();
    assert_eq!(other_name.unwrap().lock_name(), "data");
    let token = first.token();
    assert!(first.release().await.unwrap());
    assert!(take(&two, "1").await.token() > token);
}

#[tokio::test]
async fn a_waiter_takes_over() {
    let (one, two) = two_sessions().await;
    let held = take(&one, "1").await;
    let waiter = tokio::spawn(two.acquire("volume", &own("1")).wait(LONG).run());
    let began = Instant::now();
    let late = one.acquire("volume", &own("1")).wait(MOMENT).await.unwrap();
    assert!(late.is_none() && began.elapsed() >= MOMENT && began.elapsed() < LONG / 2);
    assert!(!waiter.is_finished());
    held.release().await.unwrap();
    assert!(timeout(LONG, waiter).await.unwrap().unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_wait_ends_in_time_on_the_server() {
    let (one, two) = two_sessions().await;
    let _held = take(&one, "1").await;
    let began = Instant::now();
    assert!(two.acquire("volume", &own("1")).wait(MOMENT).await.unwrap().is_none());
    assert!(began.elapsed() >= MOMENT && began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_lock_knows_what_it_is() {
    let observer = Observer::new().await;
    let session = session(&connect().await).await;
    let id = Uuid::new_v4();
    let lock = session
        .acquire("volume", &own("1"))
        .lock_name("data")
        .status("extending")
        .request_id(id)
        .details(json!({"by": 1500}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((lock.resource_type(), plain(lock.resource_id()), lock.lock_name()), ("volume", "1", "data"));
    assert_eq!(lock.request_id(), id);
    const SQL: &str = "SELECT count(*) FROM volguard.lock_status WHERE token = $1 AND lock_name = 'data' \
         AND status = 'extending' AND request_id = $2 AND details = '{\"by\": 1500}'";
    assert_eq!(observer.number(SQL, &[&lock.token(), &id]).await, 1);
    lock.set_status(Some("resizing")).await.unwrap();
    lock.set_status(None).await.unwrap();
    const PLAIN: &str = "SELECT count(*) FROM volguard.lock_status WHERE token = $1 AND status IS NULL";
    assert_eq!(observer.number(PLAIN, &[&lock.token()]).await, 1);
}

#[tokio::test]
async fn a_lock_taken_away_is_lost_once_the_server_says_so() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let lock = take(&session, "1").await;
    lock.assert_held().await.unwrap();
    assert!(volguard.force_release(lock.token(), "test").await.unwrap());
    assert!(!volguard.force_release(lock.token(), "test").await.unwrap());
    let refused = lock.assert_held().await.unwrap_err();
    assert!(matches!(refused, Error::TokenNotHeld(_)), "{refused}");
    assert!(lock.is_lost() && !session.is_lost());
    assert_eq!(lock.lost().await, Loss::TokenNotHeld);
    let refused = lock.set_status(Some("x")).await.unwrap_err();
    assert!(matches!(refused, Error::TokenNotHeld(_)), "{refused}");
    assert!(!lock.release().await.unwrap());
    assert!(session.acquire("volume", &own("1")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_transaction_that_asserts_the_lock_outlasts_its_release() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let lock = take(&session, "1").await;
    let mut client = volguard.pool().get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    lock.assert_held_in(&transaction).await.unwrap();
    let mut release = tokio::spawn(lock.release());
    assert!(timeout(MOMENT, &mut release).await.is_err());
    transaction.commit().await.unwrap();
    assert!(timeout(LONG, release).await.unwrap().unwrap().unwrap());
}

#[tokio::test]
async fn a_dropped_guard_is_released() {
    let (one, two) = two_sessions().await;
    drop(take(&one, "1").await);
    drop(take(&two, "1").await);
    // Within one process, the queue leads from the dropped guard to the next task.
    drop(take(&two, "1").await);
}

#[tokio::test]
async fn a_guard_can_be_dropped_outside_a_runtime() {
    let (one, two) = two_sessions().await;
    let lock = take(&one, "1").await;
    std::thread::spawn(move || drop(lock)).join().unwrap();
    take(&two, "1").await.release().await.unwrap();
}

#[test]
fn a_guard_can_outlive_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lock = runtime.block_on(async { take(&session(&connect().await).await, "1").await });
    drop(runtime);
    drop(lock);
}

#[tokio::test]
async fn many_locks_go_in_one_release() {
    let observer = Observer::new().await;
    let session = session(&connect().await).await;
    let mut locks = Vec::new();
    for id in 0..10 {
        locks.push(take(&session, &id.to_string()).await);
    }
    assert_eq!(session.release_all(locks).await.unwrap(), 10);
    assert_eq!(observer.locks_of(&session).await, 0);
    assert!(session.acquire("volume", &own("3")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_thousand_dropped_guards_go_too() {
    let observer = Observer::new().await;
    let session = session(&connect().await).await;
    let mut locks = Vec::new();
    for id in 0..1000 {
        locks.push(take(&session, &id.to_string()).await);
    }
    drop(locks);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_hint() {
    let session = session(&connect().await).await;
    let endless = "x".repeat(100_000);
    for request in [
        session.acquire("", "1"),
        session.acquire("volume", ""),
        session.acquire("volume", &endless),
        session.acquire("volume", &own("1")).status(""),
    ] {
        let refused = request.await.unwrap_err();
        assert_eq!(code(&refused), Some("22023"), "{refused}");
        assert!(refused.database_error().unwrap().hint().is_some());
    }
    // An endless wait is just a long one.
    let lock = session.acquire("volume", &own("1")).wait(Duration::MAX).await.unwrap();
    assert!(lock.is_some());
}

#[tokio::test]
async fn an_operator_can_forget_a_resource() {
    let volguard = connect().await;
    let (session, id) = (session(&volguard).await, own("1"));
    let _plain = take(&session, "1").await;
    let _work = session.acquire("volume", &id).lock_name("w").status("s").await.unwrap().unwrap();
    assert_eq!(volguard.reset_resource("volume", &id).await.unwrap(), 2);
    assert_eq!(volguard.reset_resource("volume", &id).await.unwrap(), 0);
}
