//! How a session ends, by `stop` or without a handle.

use tokio::time::timeout;
use volguard::{Error, Loss};

use crate::support::{LEASE, LONG, MOMENT, Observer, behind_a_proxy, connect, date, key, session, session_in, unique};

#[tokio::test]
async fn stopping_leaves_only_the_work_to_cleanup() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let session = session(&volguard).await;
    let plain = session.acquire(key("1")).await.unwrap().unwrap();
    let work = session.acquire(key("2").status("creating")).await.unwrap().unwrap();
    drop(session.acquire(key("3").status("dropped")).await.unwrap());
    assert_eq!(session.clone().stop().await.unwrap(), 1);
    assert_eq!(observer.locks_of(&session).await, 1);
    assert_eq!((plain.lost().await, work.lost().await), (Loss::Stopped, Loss::Stopped));
    assert!(!plain.release().await.unwrap());
    assert!(matches!(session.stop().await, Err(Error::SessionLost(Loss::Stopped))));
}

#[tokio::test]
async fn stopping_passes_by_a_connection_that_answers_nothing() {
    let ((proxy, _volguard, session), observer) = (behind_a_proxy().await, Observer::new().await);
    let service_id = session.service_id();
    proxy.freeze_open();
    assert_eq!(timeout(LONG, session.stop()).await.unwrap().unwrap(), 0);
    assert_eq!(observer.up(service_id).await, 0);
}

#[tokio::test]
async fn stopping_cancels_waits() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let other = session_in(&volguard, &cluster).await;
    let session = session_in(&volguard, &cluster).await;
    let _lock = other.acquire(key("1")).await.unwrap().unwrap();
    let waiter = tokio::spawn(session.acquire(key("1")).wait(LONG * 2).into_future());
    let behind = tokio::spawn(session.acquire(key("1")).wait(LONG * 2).into_future());
    assert!(timeout(MOMENT, other.lost()).await.is_err());
    assert_eq!(timeout(LONG, session.stop()).await.unwrap().unwrap(), 0);
    for waiter in [waiter, behind] {
        let refused = timeout(LONG, waiter).await.unwrap().unwrap();
        assert!(matches!(refused, Err(Error::SessionLost(Loss::Stopped))), "{refused:?}");
    }
}

#[tokio::test]
async fn without_a_handle_the_lease_runs_out() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.await.unwrap();
    let service_id = session.service_id();
    let first = date(session.lost_at());
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    drop(session);
    // The lock is a handle, too.
    let outlived = async |o: &Observer| {
        assert!(lock.loss().is_none());
        i64::from(o.end_of_lease(service_id).await > first + LEASE)
    };
    observer.until(1, outlived).await;
    drop(lock);
    observer.until(0, async |o| o.up(service_id).await).await;
}
