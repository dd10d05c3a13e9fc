//! Connections that break at the worst moments.

use tokio::time::{sleep, timeout};
use uuid::Uuid;
use volguard::{Error, Session, Volguard};

use crate::support::{
    Fault, LEASE, LONG, MOMENT, Observer, Proxy, connect, outlives_its_lease, own, session, session_in, unique,
};

const ACQUIRE: &str = "volguard.acquire(";
const RELEASE: &str = "volguard.release";

async fn behind_a_proxy() -> (Proxy, Volguard, Session, Observer) {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session(&volguard).await;
    (proxy, volguard, session, Observer::new().await)
}

#[tokio::test]
async fn cut_after_the_commit_the_same_request_gets_the_same_lock() {
    let (proxy, _volguard, session, observer) = behind_a_proxy().await;
    proxy.inject(ACQUIRE, Fault::LoseReply, 1);
    let lock = session.acquire("volume", &own("1")).wait(LONG).await.unwrap().unwrap();
    assert!(proxy.struck());
    assert_eq!(observer.locks_of(&session).await, 1);
    lock.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap());
    assert_eq!(observer.locks_of(&session).await, 0);
}

#[tokio::test]
async fn an_acquire_without_a_wait_is_repeated_once() {
    let (proxy, _volguard, session, _observer) = behind_a_proxy().await;
    for fault in [Fault::LoseReply, Fault::LoseStatement] {
        proxy.inject(ACQUIRE, fault, 1);
        let lock = session.acquire("volume", &own("1")).await.unwrap().unwrap();
        assert!(proxy.struck());
        assert!(lock.release().await.unwrap());
    }
}

#[tokio::test]
async fn a_lock_whose_answer_was_lost_for_good_is_released() {
    let (proxy, _volguard, session, observer) = behind_a_proxy().await;
    proxy.inject(ACQUIRE, Fault::LoseReply, 2);
    let failed = session.acquire("volume", &own("1")).await.unwrap_err();
    assert!(matches!(failed, Error::Database(_)) && failed.is_retryable(), "{failed}");
    assert!(proxy.struck());
    observer.until(0, async |o| o.locks_of(&session).await).await;
    assert!(session.acquire("volume", &own("1")).wait(LONG).await.unwrap().is_some());
}

#[tokio::test]
async fn a_repeated_request_id_gets_the_lock_and_keeps_it() {
    let (proxy, _volguard, session, observer) = behind_a_proxy().await;
    let id = Uuid::new_v4();
    proxy.inject(ACQUIRE, Fault::LoseReply, 2);
    let request = session.acquire("volume", &own("1")).request_id(id);
    request.clone().await.unwrap_err();
    let lock = request.wait(LONG).await.unwrap().unwrap();
    // The reaper would have enough rounds to release it.
    sleep(MOMENT * 3).await;
    assert_eq!(observer.locks_of(&session).await, 1);
    lock.assert_held().await.unwrap();
}

#[tokio::test]
async fn no_reconnect_no_lock_left_behind() {
    let (proxy, _volguard, session, observer) = behind_a_proxy().await;
    proxy.inject(ACQUIRE, Fault::LoseReply, 1);
    proxy.refuse(true);
    session.acquire("volume", &own("1")).wait(MOMENT).await.unwrap_err();
    assert!(proxy.struck());
    assert_eq!(observer.locks_of(&session).await, 1);
    proxy.refuse(false);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

#[tokio::test]
async fn a_wait_without_a_client_wins_nothing() {
    let (proxy, cluster) = (Proxy::start().await, unique("cluster"));
    let observer = Observer::new().await;
    let elsewhere = session_in(&connect().await, &cluster).await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session_in(&volguard, &cluster).await;
    let held = elsewhere.acquire("volume", &own("1")).await.unwrap().unwrap();
    // The backend still waits; the repeated request waits behind it.
    proxy.inject(ACQUIRE, Fault::CutWhileRunning, 1);
    let waiter = tokio::spawn(session.acquire("volume", &own("1")).wait(LONG).run());
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
    let held = elsewhere.acquire("volume", &own("1")).await.unwrap().unwrap();
    let request = session.acquire("volume", &own("1")).request_id(Uuid::new_v4());
    proxy.inject(ACQUIRE, Fault::CutWhileRunning, 1);
    let first = tokio::spawn(request.clone().wait(LONG * 2).run());
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
    let next = elsewhere.acquire("volume", &own("1")).wait(LONG).await.unwrap();
    assert!(next.is_some());
}

#[tokio::test]
async fn a_release_is_repeated_until_it_is_answered() {
    let (proxy, _volguard, session, observer) = behind_a_proxy().await;
    for fault in [Fault::LoseStatement, Fault::LoseReply] {
        let lock = session.acquire("volume", &own("1")).wait(LONG).await.unwrap().unwrap();
        proxy.inject(RELEASE, fault, 3);
        let failed = lock.release().await.unwrap_err();
        assert!(failed.is_retryable(), "{failed}");
        observer.until(0, async |o| o.locks_of(&session).await).await;
    }
    let lock = session.acquire("volume", &own("1")).wait(LONG).await.unwrap().unwrap();
    proxy.inject(RELEASE, Fault::LoseStatement, 3);
    drop(lock);
    observer.until(0, async |o| o.locks_of(&session).await).await;
    assert!(proxy.struck());
}

#[tokio::test]
async fn stopping_survives_a_broken_connection() {
    let (proxy, _volguard, session, observer) = behind_a_proxy().await;
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
    let session = registration.start().await.unwrap();
    proxy.inject("volguard.heartbeat(", Fault::LoseStatement, 2);
    outlives_its_lease(&session).await;
    assert!(proxy.struck());
}
