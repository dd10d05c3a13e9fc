//! Several locks as one.

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;
use volguard::{Error, Lock, LockSet, Loss, Session, UpdateOutcome, Wanted};

use crate::support::{Fault, LONG, MOMENT, Observer, Proxy, code, connect, own, plain, session, session_in, unique};

const KEYS: [(&str, &str); 3] = [("volume", "3"), ("volume", "1"), ("snapshot", "2")];

/// The same, of the running test.
fn keys() -> [Wanted; 3] {
    KEYS.map(|(kind, id)| Wanted::new(kind, &own(id)))
}

async fn two_sessions() -> (Session, Session) {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    (session_in(&volguard, &cluster).await, session_in(&volguard, &cluster).await)
}

async fn take(session: &Session) -> LockSet {
    let wanted = session.acquire_all(keys()).wait(LONG);
    wanted.await.unwrap().unwrap()
}

#[tokio::test]
async fn all_or_none() {
    let (one, two) = two_sessions().await;
    let observer = Observer::new().await;
    let busy = two.acquire("volume", &own("1")).await.unwrap().unwrap();
    assert!(one.acquire_all(keys()).await.unwrap().is_none());
    assert!(one.acquire_all(keys()).wait(MOMENT).await.unwrap().is_none());
    assert_eq!(observer.locks_of(&one).await, 0);
    busy.release().await.unwrap();

    let set = take(&one).await;
    let got: Vec<_> = set.locks().iter().map(|lock| (lock.resource_type(), plain(lock.resource_id()))).collect();
    assert_eq!(got, KEYS);
    for lock in set.locks() {
        lock.assert_held().await.unwrap();
        assert_eq!(lock.request_id(), set.locks()[0].request_id());
    }
    assert!(two.acquire_all(keys()).await.unwrap().is_none());
    assert!(two.acquire("snapshot", &own("2")).await.unwrap().is_none());
    let tokens: Vec<_> = set.locks().iter().map(Lock::token).collect();
    assert_eq!(set.release().await.unwrap(), 3);
    let next = take(&two).await;
    for (lock, token) in next.locks().iter().zip(tokens) {
        assert!(lock.token() > token);
    }
}

#[tokio::test]
async fn a_waiter_takes_over() {
    let (one, two) = two_sessions().await;
    let held = take(&one).await;
    let waiter = tokio::spawn(two.acquire_all(keys()).wait(LONG).run());
    let behind = tokio::spawn(two.acquire("volume", &own("1")).wait(LONG).run());
    assert_eq!(held.release().await.unwrap(), 3);
    let set = timeout(LONG, waiter).await.unwrap().unwrap().unwrap();
    assert!(!behind.is_finished());
    drop(set);
    let lock = timeout(LONG, behind).await.unwrap().unwrap().unwrap();
    lock.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn each_lock_has_a_name_a_status_and_details_of_its_own() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let wanted = [
        Wanted::new("volume", &own("1")).status("copying"),
        Wanted::new("volume", &own("2")).lock_name("data").details(json!({"a": [1, "b"]})),
    ];
    let set = session.acquire_all(wanted).await.unwrap().unwrap();
    let seen = async |condition: &str| {
        let sql = format!("SELECT count(*) FROM volguard.lock_status WHERE service_id = $1 AND {condition}");
        observer.number(&sql, &[&session.service_id()]).await
    };
    let first = "resource_id LIKE '%/1' AND lock_name = '' AND status = 'copying' AND details IS NULL";
    assert_eq!(seen(first).await, 1);
    let second = r#"resource_id LIKE '%/2' AND lock_name = 'data' AND status IS NULL AND details = '{"a": [1, "b"]}'"#;
    assert_eq!(seen(second).await, 1);
    assert_eq!(set.locks()[1].lock_name(), "data");
    set.release().await.unwrap();
}

/// Tasks of two processes that name the same locks in different orders.
#[tokio::test]
async fn waits_form_no_circle() {
    let (one, two) = two_sessions().await;
    let mut tasks = JoinSet::new();
    for turn in 0..8 {
        let session = if turn % 2 == 0 { &one } else { &two }.clone();
        let mut keys = keys();
        keys.rotate_left(turn % 3);
        tasks.spawn(async move {
            for _ in 0..10 {
                let set = session.acquire_all(keys.clone()).wait(LONG).await.unwrap().unwrap();
                assert_eq!(set.release().await.unwrap(), 3);
            }
        });
    }
    timeout(LONG, tasks.join_all()).await.expect("no circle");
}

#[tokio::test]
async fn a_dropped_set_is_released() {
    let (one, two) = two_sessions().await;
    drop(take(&one).await);
    assert_eq!(take(&two).await.release().await.unwrap(), 3);
    let mut locks = take(&one).await.into_locks();
    assert!(locks.remove(1).release().await.unwrap());
    let freed = two.acquire("volume", &own("1")).await.unwrap();
    assert!(freed.unwrap().release().await.unwrap());
    assert!(two.acquire("volume", &own("3")).await.unwrap().is_none());
    drop(locks);
    assert_eq!(take(&two).await.release().await.unwrap(), 3);
}

#[tokio::test]
async fn one_lock_that_is_lost_is_noticed() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let set = take(&session).await;
    assert!(!set.is_lost());
    assert!(timeout(MOMENT, set.lost()).await.is_err());
    let [kept, taken, _] = set.locks() else { panic!("three locks") };
    assert!(volguard.force_release(taken.token(), "test").await.unwrap());
    let (loss, noticed) = tokio::join!(set.lost(), taken.assert_held());
    assert_eq!(loss, Loss::TokenNotHeld);
    assert!(matches!(noticed, Err(Error::TokenNotHeld(_))));
    assert!(set.is_lost() && taken.is_lost() && !kept.is_lost());
    let update = volguard.update("pg_class").key("relname", "none");
    let fenced = update.set("relname", "none").fenced_by(taken);
    assert_eq!(fenced.execute().await.unwrap(), UpdateOutcome::Fenced);
    assert_eq!(set.release().await.unwrap(), 2);

    let set = take(&session).await;
    let (loss, left) = tokio::join!(set.lost(), session.clone().stop());
    assert_eq!((loss, left.unwrap()), (Loss::Stopped, 0));
}

#[tokio::test]
async fn a_list_that_cant_be_is_refused() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let status = |name| Wanted::new("volume", &own("1")).lock_name(name).status("busy");
    for wanted in [
        vec![],
        vec![Wanted::new("volume", &own("1")), Wanted::new("volume", &own("1"))],
        vec![Wanted::new("", "1")],
        vec![status("a"), status("b")],
        vec![Wanted::new("volume", &"x".repeat(10_000))],
    ] {
        let list = format!("{wanted:?}");
        let refused = session.acquire_all(wanted).wait(MOMENT).await.unwrap_err();
        assert!(matches!(refused, Error::MalformedDocument(_)), "{list}: {refused}");
    }
    assert_eq!(observer.locks_of(&session).await, 0);
    // A refused request blocks no other.
    assert!(session.acquire("volume", &own("1")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_request_id_is_for_one_list() {
    let session = session(&connect().await).await;
    let id = Uuid::new_v4();
    let one = session.acquire_all([keys()[0].clone()]).request_id(id);
    let held = one.await.unwrap().unwrap();
    let more = session.acquire_all(keys()).request_id(id).await.unwrap();
    assert!(more.is_none(), "not free within the session");
    held.release().await.unwrap();
    let all = session.acquire_all(keys()).request_id(id).await.unwrap();
    assert_eq!(all.unwrap().release().await.unwrap(), 3);
}

#[tokio::test]
async fn cut_after_the_commit_the_same_request_gets_the_same_locks() {
    let proxy = Proxy::start().await;
    let session = session(&proxy.builder().connect().await.unwrap()).await;
    let observer = Observer::new().await;
    proxy.inject("volguard.acquire_all(", Fault::LoseReply, 1);
    let set = take(&session).await;
    assert!(proxy.struck());
    assert_eq!(observer.locks_of(&session).await, 3);
    for lock in set.locks() {
        lock.assert_held().await.unwrap();
    }
    proxy.inject("volguard.release_all(", Fault::LoseReply, 1);
    // Repeated in the background, or answered.
    let _ = set.release().await;
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

/// Locks of a lost answer are found one by one: the request as a whole would be refused by now.
#[tokio::test]
async fn what_an_operator_has_left_of_a_lost_answer_is_released() {
    let proxy = Proxy::start().await;
    let session = session(&proxy.builder().connect().await.unwrap()).await;
    let observer = Observer::new().await;
    let id = Uuid::new_v4();
    proxy.inject("volguard.acquire", Fault::LoseReply, usize::MAX);
    let failed = session.acquire_all(keys()).request_id(id).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
    assert_eq!(observer.locks_of(&session).await, 3);
    let force = "SELECT count(volguard.force_release(token, 'test')) FROM volguard.lock_status \
                 WHERE service_id = $1 AND resource_id LIKE '%/1'";
    assert_eq!(observer.number(force, &[&session.service_id()]).await, 1);
    let whole = format!(
        "SELECT count(*) FROM volguard.acquire_all({}, '[{{\"resource_type\": \"volume\", \"resource_id\": \"{}\"}}, \
         {{\"resource_type\": \"volume\", \"resource_id\": \"{}\"}}]', request_id => '{id}')",
        session.service_id(),
        own("3"),
        own("1")
    );
    let refused = connect().await.pool().get().await.unwrap();
    let refused = refused.query_typed(&whole, &[]).await.unwrap_err();
    assert_eq!(code(&Error::from(refused)), Some("22023"));
    proxy.inject("volguard.acquire", Fault::LoseReply, 0);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}
