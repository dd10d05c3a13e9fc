//! Seats: a part of the pool may be occupied by acquires that wait in the database.

use tokio::time::{sleep, timeout};
use volguard::{Lock, Session};

use crate::support::{LONG, MOMENT, Observer, connect, key, named, own, session_in, unique};

/// A session with one seat, which a waiter for `other` has taken.
struct Stage {
    observer: Observer,
    name: String,
    elsewhere: Session,
    session: Session,
    other: Lock,
    waiter: tokio::task::JoinHandle<Result<Option<Lock>, volguard::Error>>,
}

impl Stage {
    async fn set() -> Stage {
        let (cluster, name, observer) = (unique("cluster"), unique("app"), Observer::new().await);
        let elsewhere = session_in(&connect().await, &cluster).await;
        let volguard = named(&name).pool_size(4).max_waiters(1).connect().await.unwrap();
        let session = session_in(&volguard, &cluster).await;
        let other = elsewhere.acquire(key("other")).await.unwrap().unwrap();
        let waiter = tokio::spawn(session.acquire(key("other")).wait(LONG * 3).into_future());
        let stage = Stage { observer, name, elsewhere, session, other, waiter };
        stage.waiting(1).await;
        stage
    }

    /// Waits until so many acquires wait in the database.
    async fn waiting(&self, expected: i64) {
        self.observer.until(expected, async |o| o.acquires_of(&self.name).await).await;
    }
}

#[tokio::test]
async fn a_free_lock_needs_no_seat() {
    let stage = Stage::set().await;
    for keys in [vec![key("1")], vec![key("2"), key("3")]] {
        let free = timeout(LONG / 4, stage.session.acquire(keys).wait(LONG * 3)).await;
        assert!(free.expect("at once").unwrap().is_some());
    }
    assert!(!stage.waiter.is_finished());
}

#[tokio::test]
async fn a_held_lock_waits_for_a_seat_and_is_served() {
    let stage = Stage::set().await;
    let held = stage.elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let second = tokio::spawn(stage.session.acquire(key("1")).wait(LONG * 3).into_future());
    sleep(MOMENT).await;
    stage.waiting(1).await;
    stage.other.release().await.unwrap();
    assert!(timeout(LONG, stage.waiter).await.unwrap().unwrap().unwrap().is_some());
    // It has the seat now.
    stage.observer.until(1, async |o| o.acquires_of(&stage.name).await).await;
    held.release().await.unwrap();
    let lock = timeout(LONG, second).await.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(lock.resource_id(), own("1"));
}

#[tokio::test]
async fn a_wait_for_a_seat_ends_in_time() {
    let stage = Stage::set().await;
    let held = stage.elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let late = timeout(LONG, stage.session.acquire(key("1")).wait(MOMENT)).await.unwrap();
    assert!(late.unwrap().is_none());
    // Its next question, without a wait, gets what has become free meanwhile.
    let last = tokio::spawn(stage.session.acquire(key("1")).wait(LONG / 4).into_future());
    sleep(MOMENT).await;
    held.release().await.unwrap();
    assert!(timeout(LONG, last).await.unwrap().unwrap().unwrap().is_some());
}

#[tokio::test]
async fn waiters_leave_a_connection_to_release_with() {
    let cluster = unique("cluster");
    let elsewhere = session_in(&connect().await, &cluster).await;
    let volguard = named(&unique("app")).pool_size(3).max_waiters(2).connect().await.unwrap();
    let session = session_in(&volguard, &cluster).await;
    let mine = session.acquire(key("mine")).await.unwrap().unwrap();
    let mut theirs = Vec::new();
    let mut waiters = Vec::new();
    for id in ["1", "2", "3", "4", "5", "6"] {
        theirs.push(elsewhere.acquire(key(id)).await.unwrap().unwrap());
        waiters.push(tokio::spawn(session.acquire(key(id)).wait(LONG).into_future()));
    }
    // Both seats are taken by now, and four more waiters want one.
    sleep(MOMENT).await;
    assert!(timeout(LONG / 4, mine.release()).await.unwrap().unwrap());
    elsewhere.release_all(theirs).await.unwrap();
    for waiter in waiters {
        assert!(timeout(LONG, waiter).await.unwrap().unwrap().unwrap().is_some());
    }
}

/// The one that has the seat waits for a lock that is given back only after the other one is served.
#[tokio::test]
async fn a_lock_that_becomes_free_needs_no_seat_either() {
    let stage = Stage::set().await;
    let held = stage.elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let second = tokio::spawn(stage.session.acquire(key("1")).wait(LONG * 3).into_future());
    sleep(MOMENT).await;
    held.release().await.unwrap();
    let lock = timeout(LONG, second).await.expect("it is free").unwrap().unwrap().unwrap();
    assert!(lock.release().await.unwrap());
    assert!(!stage.waiter.is_finished());
}
