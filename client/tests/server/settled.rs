//! What lost replies and dropped futures have left on the server is given back, by the id of the request.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use uuid::Uuid;
use volguard::{Error, Key, Session, sql};

use crate::support::{
    Fault, LONG, MOMENT, Observer, Proxy, behind_a_proxy, code, connect, key, own, session_in, unique,
};

/// Every verb that takes a lock.
const ACQUIRE: &str = "volguard.acquire";

async fn proxied() -> (Proxy, Session, Observer) {
    let (proxy, _volguard, session) = behind_a_proxy().await;
    (proxy, session, Observer::new().await)
}

/// One lock, and several.
fn requests() -> [Vec<Key>; 2] {
    [vec![key("1")], ["3", "1", "2"].map(key).to_vec()]
}

#[tokio::test]
async fn locks_whose_answer_was_lost_for_good_are_released() {
    let (proxy, session, observer) = proxied().await;
    for keys in requests() {
        proxy.inject(ACQUIRE, Fault::LoseReply, 2);
        let failed = session.acquire(keys.clone()).await.unwrap_err();
        assert!(matches!(failed, Error::Database(_)) && failed.is_retryable(), "{failed}");
        assert!(proxy.struck());
        observer.until(0, async |o| o.locks_of(&session).await).await;
        let again = session.acquire(keys).wait(LONG).await.unwrap();
        assert!(again.unwrap().release().await.unwrap());
    }
}

/// The locks are granted, and their answer is on its way.
#[tokio::test]
async fn locks_whose_request_was_dropped_are_released() {
    let (proxy, session, observer) = proxied().await;
    for keys in requests() {
        let count = keys.len() as i64;
        proxy.inject(ACQUIRE, Fault::HoldReply, 1);
        let acquire = tokio::spawn(session.acquire(keys.clone()).into_future());
        observer.until(count, async |o| o.locks_of(&session).await).await;
        acquire.abort();
        assert!(acquire.await.unwrap_err().is_cancelled());
        proxy.let_go();
        observer.until(0, async |o| o.locks_of(&session).await).await;
        let again = session.acquire(keys).wait(LONG).await.unwrap();
        assert!(again.unwrap().release().await.unwrap());
    }
}

#[tokio::test]
async fn a_repeated_request_id_gets_the_locks_and_keeps_them() {
    let (proxy, session, observer) = proxied().await;
    for keys in requests() {
        let count = keys.len() as i64;
        proxy.inject(ACQUIRE, Fault::LoseReply, 2);
        let request = session.acquire(keys).request_id(Uuid::new_v4());
        request.clone().await.unwrap_err();
        let lock = request.wait(LONG).await.unwrap().unwrap();
        // Time enough to release them in the background.
        sleep(MOMENT * 3).await;
        assert_eq!(observer.locks_of(&session).await, count);
        lock.assert_held().await.unwrap();
        assert!(lock.release().await.unwrap());
    }
}

/// The server can't be asked what the request has got; meanwhile the same request gets the lock that it got before.
#[tokio::test]
async fn a_retry_gets_the_lock_that_is_still_unsettled() {
    let (proxy, session, observer) = proxied().await;
    let request = session.acquire(key("1")).request_id(Uuid::new_v4());
    proxy.inject(ACQUIRE, Fault::LoseReply, 1);
    proxy.refuse(true);
    request.clone().wait(MOMENT).await.unwrap_err();
    const TOKEN: &str = "SELECT token FROM volguard.lock_status WHERE service_id = $1";
    let token = observer.number(TOKEN, &[&session.service_id()]).await;
    // Other requests for the key, in this process too, get nothing.
    proxy.refuse(false);
    let lock = request.wait(LONG).await.unwrap().unwrap();
    assert_eq!(lock.token(), token);
    assert!(session.acquire(key("1")).await.unwrap().is_none());
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
}

#[tokio::test]
async fn no_reconnect_no_lock_left_behind() {
    let (proxy, session, observer) = proxied().await;
    proxy.inject(ACQUIRE, Fault::LoseReply, 1);
    proxy.refuse(true);
    session.acquire(key("1")).wait(MOMENT).await.unwrap_err();
    assert!(proxy.struck());
    assert_eq!(observer.locks_of(&session).await, 1);
    proxy.refuse(false);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

/// The request as a whole would be refused by then.
#[tokio::test]
async fn what_an_administrator_has_left_of_a_lost_answer_is_released() {
    let (proxy, session, observer) = proxied().await;
    let id = Uuid::new_v4();
    proxy.inject(ACQUIRE, Fault::LoseReply, 1);
    proxy.refuse(true);
    let failed = session.acquire(["3", "1", "2"].map(key)).request_id(id).wait(MOMENT).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
    assert_eq!(observer.locks_of(&session).await, 3);
    let force = "SELECT count(volguard.force_release(token, 'test')) FROM volguard.lock_status \
                 WHERE service_id = $1 AND resource_id = $2";
    assert_eq!(observer.number(force, &[&session.service_id(), &own("1")]).await, 1);
    let connection = connect().await.connection().await.unwrap();
    let keys = ["3", "1", "2"].map(key);
    let refused = sql::acquire_all(&connection, session.service_id(), &keys, Duration::ZERO, Some(id)).await;
    assert_eq!(code(&refused.unwrap_err()), Some("22023"));
    proxy.refuse(false);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

/// A service that left in the middle of this work.
async fn crashed(observer: &Observer, cluster: &str, ids: &[&str]) -> i64 {
    const REGISTER: &str = "SELECT volguard.register_service($1, 'test', cluster => $2)";
    let service_id = observer.number(REGISTER, &[&unique("host"), &cluster]).await;
    for id in ids {
        const ACQUIRE: &str = "SELECT volguard.acquire($1, 'volume', $2, status => 'deleting')";
        observer.number(ACQUIRE, &[&service_id, &own(id)]).await;
    }
    observer.number("SELECT volguard.deregister_service($1)", &[&service_id]).await;
    service_id
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_given_back() {
    let (proxy, observer, cluster) = (Proxy::start().await, Observer::new().await, unique("cluster"));
    let session = session_in(&proxy.builder().connect().await.unwrap(), &cluster).await;
    let dead = crashed(&observer, &cluster, &["v", "w"]).await;
    let kept = session.claims().try_next().await.unwrap().unwrap();
    proxy.inject("claim_cleanup", Fault::LoseReply, 1);
    let lost = session.claims().try_next().await.unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
    assert!(proxy.struck());
    observer.until(1, async |o| o.locks_of_service(dead).await).await;

    // The same if the future is dropped while the answer is on its way.
    proxy.inject("claim_cleanup", Fault::HoldReply, 1);
    let mut claims = session.claims();
    let claim = tokio::spawn(async move { claims.try_next().await });
    observer.until(0, async |o| o.locks_of_service(dead).await).await;
    claim.abort();
    assert!(claim.await.unwrap_err().is_cancelled());
    proxy.let_go();
    observer.until(1, async |o| o.locks_of_service(dead).await).await;

    // Known claims are kept.
    sleep(MOMENT).await;
    kept.assert_held().await.unwrap();
    assert_eq!(observer.locks_of(&session).await, 1);
    assert!(timeout(LONG, kept.finish_cleanup()).await.unwrap().unwrap());
}
