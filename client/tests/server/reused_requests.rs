//! Request ids that are used again, while what an earlier request with the id has left is not settled.

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::{Fault, LONG, MOMENT, Observer, behind_a_proxy, connect, key, named, session, session_in, unique};

#[tokio::test]
async fn a_lock_of_another_key_is_not_settled_with_a_dropped_request_of_its_id() {
    let (cluster, id) = (unique("cluster"), Uuid::new_v4());
    let elsewhere = session_in(&connect().await, &cluster).await;
    let session = session_in(&named(&unique("app")).connect().await.unwrap(), &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let dropped = session.acquire(key("1")).request_id(id).wait(LONG);
    timeout(MOMENT, dropped.into_future()).await.unwrap_err();
    let lock = session.acquire(key("2")).request_id(id).await.unwrap().unwrap();
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap());
    drop(held);
}

#[tokio::test]
async fn a_lock_of_another_key_is_not_settled_with_a_lost_answer_of_its_id() {
    let ((proxy, _volguard, session), id) = (behind_a_proxy().await, Uuid::new_v4());
    proxy.inject("volguard.acquire", Fault::LoseReply, 2);
    session.acquire(key("1")).request_id(id).await.unwrap_err();
    let lock = session.acquire(key("2")).request_id(id).wait(LONG).await.unwrap().unwrap();
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap());
}

#[tokio::test]
async fn two_requests_of_one_id_at_once_hold_what_they_were_given() {
    let (session, id, observer) = (session(&connect().await).await, Uuid::new_v4(), Observer::new().await);
    let one = session.acquire(key("1")).request_id(id).wait(LONG);
    let two = session.acquire(key("1")).request_id(id).wait(LONG);
    let (one, two) = tokio::join!(one.into_future(), async { timeout(MOMENT, two.into_future()).await });
    let lock = one.unwrap().unwrap();
    assert!(two.is_err(), "a second holder");
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
    assert_eq!(observer.locks_of(&session).await, 1);
    assert!(lock.release().await.unwrap());
}

/// The first try to settle it fails, and from then on tasks of this process want the key all the time.
#[tokio::test]
async fn what_a_lost_answer_has_left_does_not_stay_because_the_key_is_wanted() {
    let (proxy, _volguard, session) = behind_a_proxy().await;
    proxy.inject("volguard.acquire", Fault::LoseReply, 1);
    proxy.refuse(true);
    session.acquire(key("1")).wait(MOMENT).await.unwrap_err();
    let waiting = tokio::spawn(session.acquire(key("1")).wait(LONG * 3).into_future());
    sleep(MOMENT).await;
    proxy.refuse(false);
    // While nothing can be connected to, the waiter fails; then it asks again.
    let first = timeout(LONG, waiting).await.expect("it is served").unwrap();
    let lock = match first {
        Ok(lock) => lock,
        Err(_) => timeout(LONG, session.acquire(key("1")).wait(LONG * 3)).await.expect("it is served").unwrap(),
    };
    assert!(lock.unwrap().release().await.unwrap());
}
