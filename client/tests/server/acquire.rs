//! Taking one lock, or several as one.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use uuid::Uuid;
use volguard::{Error, Key, Lock, Loss, Session};

use crate::support::{LONG, MOMENT, Observer, code, connect, key, own, session, session_in, unique};

async fn two_sessions() -> (Session, Session) {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    (session_in(&volguard, &cluster).await, session_in(&volguard, &cluster).await)
}

/// In no order.
fn several() -> [Key; 3] {
    [key("3"), key("1"), Key::new("snapshot", own("2"))]
}

async fn take(session: &Session, id: &str) -> Lock {
    session.acquire(key(id)).wait(LONG).await.unwrap().unwrap()
}

async fn take_several(session: &Session) -> Lock {
    session.acquire(several()).wait(LONG).await.unwrap().unwrap()
}

#[tokio::test]
async fn one_holder_at_a_time_and_tokens_grow() {
    let (one, two) = two_sessions().await;
    let first = take(&one, "1").await;
    assert!(two.acquire(key("1")).await.unwrap().is_none());
    assert!(one.acquire(key("1")).await.unwrap().is_none());
    let other_name = two.acquire(key("1").lock_name("data")).await.unwrap();
    assert_eq!(other_name.unwrap().lock_name(), "data");
    let token = first.token();
    assert!(first.release().await.unwrap());
    assert!(take(&two, "1").await.token() > token);
}

#[tokio::test]
async fn a_waiter_takes_over() {
    let (one, two) = two_sessions().await;
    let held = take(&one, "1").await;
    let waiter = tokio::spawn(two.acquire(key("1")).wait(LONG).into_future());
    let began = Instant::now();
    let late = one.acquire(key("1")).wait(MOMENT).await.unwrap();
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
    assert!(two.acquire(key("1")).wait(MOMENT).await.unwrap().is_none());
    assert!(began.elapsed() >= MOMENT && began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn several_or_none() {
    let (one, two) = two_sessions().await;
    let observer = Observer::new().await;
    let busy = take(&two, "1").await;
    assert!(one.acquire(several()).await.unwrap().is_none());
    assert!(one.acquire(several()).wait(MOMENT).await.unwrap().is_none());
    assert_eq!(observer.locks_of(&one).await, 0);
    busy.release().await.unwrap();

    let all = take_several(&one).await;
    all.assert_held().await.unwrap();
    assert!(two.acquire(several()).await.unwrap().is_none());
    assert!(two.acquire(("snapshot", own("2"))).await.unwrap().is_none());
    let tokens = all.tokens();
    assert_eq!((tokens.len(), tokens[0]), (3, all.token()));
    assert!(all.release().await.unwrap());
    let next = take_several(&two).await.tokens();
    assert!(next.iter().zip(tokens).all(|(next, before)| *next > before));
}

#[tokio::test]
async fn a_waiter_for_several_takes_over() {
    let (one, two) = two_sessions().await;
    let held = take_several(&one).await;
    let waiter = tokio::spawn(two.acquire(several()).wait(LONG).into_future());
    let behind = tokio::spawn(two.acquire(key("1")).wait(LONG).into_future());
    assert!(held.release().await.unwrap());
    let all = timeout(LONG, waiter).await.unwrap().unwrap().unwrap();
    assert!(!behind.is_finished());
    drop(all);
    let lock = timeout(LONG, behind).await.unwrap().unwrap().unwrap();
    lock.unwrap().release().await.unwrap();
}

/// Tasks of two processes that name the same locks in different orders.
#[tokio::test]
async fn waits_form_no_circle() {
    let (one, two) = two_sessions().await;
    let mut tasks = JoinSet::new();
    for turn in 0..8 {
        let session = if turn % 2 == 0 { &one } else { &two }.clone();
        let mut keys = several();
        keys.rotate_left(turn % 3);
        tasks.spawn(async move {
            for _ in 0..10 {
                let all = session.acquire(keys.clone()).wait(LONG).await.unwrap().unwrap();
                assert!(all.release().await.unwrap());
            }
        });
    }
    timeout(LONG, tasks.join_all()).await.expect("no circle");
}

#[tokio::test]
async fn the_server_shows_what_a_lock_is_for() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let id = Uuid::new_v4();
    let keys = [key("1").status("copying"), key("2").lock_name("data").details(json!({"a": [1, "b"]}))];
    let _both = session.acquire(keys).request_id(id).await.unwrap().unwrap();
    let one = key("3").lock_name("data").status("extending").details(json!({"by": 1500}));
    let _one = session.acquire(one).request_id(id).await.unwrap().unwrap();
    let seen = async |condition: &str| {
        let sql = format!("SELECT count(*) FROM volguard.lock_status WHERE request_id = $1 AND {condition}");
        observer.number(&sql, &[&id]).await
    };
    let first = "resource_id LIKE '%/1' AND lock_name = '' AND status = 'copying' AND details IS NULL";
    assert_eq!(seen(first).await, 1);
    let second = r#"resource_id LIKE '%/2' AND lock_name = 'data' AND status IS NULL AND details = '{"a": [1, "b"]}'"#;
    assert_eq!(seen(second).await, 1);
    let third =
        r#"resource_id LIKE '%/3' AND lock_name = 'data' AND status = 'extending' AND details = '{"by": 1500}'"#;
    assert_eq!(seen(third).await, 1);
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_hint() {
    let session = session(&connect().await).await;
    let endless = "x".repeat(100_000);
    for key in [Key::new("", "1"), Key::new("volume", ""), Key::new("volume", endless), key("1").status("")] {
        let refused = session.acquire(key).await.unwrap_err();
        assert_eq!(code(&refused), Some("22023"), "{refused}");
        assert!(refused.database_error().unwrap().hint().is_some());
    }
    let refused = session.acquire(key("1").details(f64::NAN)).await.unwrap_err();
    assert!(matches!(&refused, Error::InvalidDocument { column, .. } if column == "details"), "{refused}");
    // An endless wait is just a long one.
    let lock = session.acquire(key("1")).wait(Duration::MAX).await.unwrap();
    assert!(lock.is_some());
}

#[tokio::test]
async fn a_list_that_cant_be_is_refused() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let status = |name: &str| key("1").lock_name(name).status("busy");
    let other = key("2");
    for keys in [
        vec![],
        vec![key("1"), key("1")],
        vec![Key::new("", "1"), other.clone()],
        vec![status("a"), status("b")],
        vec![Key::new("volume", "x".repeat(10_000)), other],
    ] {
        let list = format!("{keys:?}");
        let refused = session.acquire(keys).wait(MOMENT).await.unwrap_err();
        assert!(matches!(refused, Error::MalformedDocument(_)), "{list}: {refused}");
    }
    assert_eq!(observer.locks_of(&session).await, 0);
    // A refused request blocks no other.
    assert!(session.acquire(key("1")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_request_id_is_for_one_list() {
    let session = session(&connect().await).await;
    let id = Uuid::new_v4();
    let held = session.acquire([key("3")]).request_id(id).await.unwrap().unwrap();
    assert_eq!(held.request_id(), id);
    let more = session.acquire(several()).request_id(id).await.unwrap();
    assert!(more.is_none(), "not free within the session");
    held.release().await.unwrap();
    let all = session.acquire(several()).request_id(id).await.unwrap();
    assert!(all.unwrap().release().await.unwrap());
}

#[tokio::test]
async fn work_with_a_lock_holds_it_from_begin_to_end() {
    let (one, two) = two_sessions().await;
    let observer = Observer::new().await;
    let worked = one.with_lock(several(), LONG, async |held| {
        assert!(two.acquire(key("1")).await.unwrap().is_none());
        held.assert_held().await.unwrap();
        held.tokens().len()
    });
    assert_eq!(worked.await.unwrap(), Some(3));
    assert_eq!(observer.locks_of(&one).await, 0);

    let busy = take(&two, "1").await;
    let worked = one.with_lock(key("1"), MOMENT, async |_| unreachable!("the lock is not free")).await;
    assert_eq!(worked.unwrap(), None::<()>);
    assert!(busy.release().await.unwrap());

    let force = async |held: volguard::Held| {
        observer.run(&format!("SELECT volguard.force_release({}, 'test')", held.token())).await;
        held.assert_held().await.unwrap_err();
        std::future::pending::<()>().await;
    };
    let lost = timeout(LONG, one.with_lock(key("1"), LONG, force)).await.unwrap();
    assert!(matches!(lost, Err(Error::SessionLost(Loss::TokenNotHeld))), "{lost:?}");
    // Dropped half-way, it frees the lock too.
    let endless = one.with_lock(key("1"), LONG, async |_| std::future::pending::<()>().await);
    timeout(MOMENT, endless).await.unwrap_err();
    observer.until(0, async |o| o.locks_of(&one).await).await;
}
