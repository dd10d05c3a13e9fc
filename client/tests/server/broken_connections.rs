//! Connections that break at the worst moments.

use tokio::time::{sleep, timeout};
use uuid::Uuid;
use volguard::Session;

use crate::support::{
    Fault, LEASE, LONG, MOMENT, Observer, Proxy, behind_a_proxy, connect, key, outlives_its_lease, session_in, unique,
};

const ACQUIRE: &str = "volguard.acquire(";
const RELEASE: &str = "volguard.release";

async fn proxied() -> (Proxy, Session, Observer) {
    let (proxy, _volguard, session) = behind_a_proxy().await;
    (proxy, session, Observer::new().await)
}

#[tokio::test]
async fn cut_after_the_commit_the_same_request_gets_the_same_locks() {
    let (proxy, session, observer) = proxied().await;
    proxy.inject(ACQUIRE, Fault::LoseReply, 1);
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
    assert!(proxy.struck());
    proxy.inject("volguard.acquire_all(", Fault::LoseReply, 1);
    let both = session.acquire(["2", "3"].map(key)).wait(LONG).await.unwrap().unwrap();
    assert!(proxy.struck());
    assert_eq!(observer.locks_of(&session).await, 3);
    lock.assert_held().await.unwrap();
    both.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap() && both.release().await.unwrap());
    assert_eq!(observer.locks_of(&session).await, 0);
}

#[tokio::test]
async fn an_acquire_without_a_wait_is_repeated_once() {
    let (proxy, session, _observer) = proxied().await;
    for fault in [Fault::LoseReply, Fault::LoseStatement] {
        proxy.inject(ACQUIRE, fault, 1);
        let lock = session.acquire(key("1")).await.unwrap().unwrap();
        assert!(proxy.struck());
        assert!(lock.release().await.unwrap());
    }
}

#[tokio::test]
async fn a_wait_without_a_client_wins_nothing() {
    let (proxy, cluster) = (Proxy::start().await, unique("cluster"));
    let observer = Observer::new().await;
    let elsewhere = session_in(&connect().await, &cluster).await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session_in(&volguard, &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();
    // The backend still waits; the repeated request waits behind it.
    proxy.inject(ACQUIRE, Fault::CutWhileRunning, 1);
    let waiter = tokio::spawn(session.acquire(key("1")).wait(LONG).into_future());
    observer.until(1, async |_| i64::from(proxy.struck())).await;
    sleep(MOMENT).await;
    held.release().await.unwrap();
    let lock = timeout(LONG, waiter).await.unwrap().unwrap().unwrap().unwrap();
    lock.assert_held().await.unwrap();
    assert_eq!(observer.locks_of(&session).await, 1);
    assert!(lock.release().await.unwrap());
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

#[tokio::test]
async fn asking_again_in_vain_forgets_no_wait_under_way() {
    let (proxy, cluster) = (Proxy::start().await, unique("cluster"));
    let observer = Observer::new().await;
    let elsewhere = session_in(&connect().await, &cluster).await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session_in(&volguard, &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let request = session.acquire(key("1")).request_id(Uuid::new_v4());
    proxy.inject(ACQUIRE, Fault::CutWhileRunning, 1);
    let first = tokio::spawn(request.clone().wait(LONG * 2).into_future());
    observer.until(1, async |_| i64::from(proxy.struck())).await;
    proxy.refuse(true);
    first.abort();
    sleep(MOMENT).await;
    proxy.refuse(false);
    assert!(request.wait(MOMENT).await.unwrap().is_none());
    // The backend of the first request is still in the wait queue, without a client.
    held.release().await.unwrap();
    sleep(MOMENT).await;
    observer.until(0, async |o| o.locks_of(&session).await).await;
    let next = elsewhere.acquire(key("1")).wait(LONG).await.unwrap();
    assert!(next.is_some());
}

#[tokio::test]
async fn a_release_is_repeated_until_it_is_answered() {
    let (proxy, session, observer) = proxied().await;
    for (fault, keys) in [(Fault::LoseStatement, vec!["1"]), (Fault::LoseReply, vec!["1", "2"])] {
        let keys: Vec<_> = keys.into_iter().map(key).collect();
        let lock = session.acquire(keys).wait(LONG).await.unwrap().unwrap();
        proxy.inject(RELEASE, fault, 3);
        let failed = lock.release().await.unwrap_err();
        assert!(failed.is_retryable(), "{failed}");
        observer.until(0, async |o| o.locks_of(&session).await).await;
    }
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
    proxy.inject(RELEASE, Fault::LoseStatement, 3);
    drop(lock);
    observer.until(0, async |o| o.locks_of(&session).await).await;
    assert!(proxy.struck());
}

#[tokio::test]
async fn stopping_survives_a_broken_connection() {
    let (proxy, session, observer) = proxied().await;
    let service_id = session.service_id();
    proxy.inject("volguard.deregister_service(", Fault::LoseStatement, 2);
    assert_eq!(session.stop().await.unwrap(), 0);
    const SQL: &str = "SELECT count(*) FROM volguard.service_status WHERE service_id = $1";
    assert_eq!(observer.number(SQL, &[&service_id]).await, 0);
}

#[tokio::test]
async fn a_swallowed_heartbeat_is_sent_again() {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.await.unwrap();
    proxy.inject("volguard.heartbeat(", Fault::LoseStatement, 2);
    outlives_its_lease(&session).await;
    assert!(proxy.struck());
}
