//! Futures dropped at any moment leave no lock behind.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use volguard::{Session, StatementMode};

use crate::support::{
    LONG, MOMENT, Observer, connect, key, named, named_direct, poll_times, session, session_in, unique,
};

async fn nothing_stays(observer: &Observer, session: &Session) {
    observer.until(0, async |o| o.locks_of(session).await).await;
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap();
    assert!(lock.unwrap().release().await.unwrap());
}

#[tokio::test]
async fn an_acquire_dropped_at_every_await() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let session = session(&volguard).await;
    let mut done = 0;
    for times in 1.. {
        let acquire = async { drop(session.acquire(key("1")).wait(LONG).await.unwrap()) };
        done += usize::from(poll_times(times, acquire).await.is_some());
        nothing_stays(&observer, &session).await;
        if done == 3 {
            break;
        }
    }
}

#[tokio::test]
async fn an_acquire_dropped_at_every_moment() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let session = session(&volguard).await;
    let mut cut_off = 0;
    for step in 0..60 {
        let acquire = session.acquire(key("1")).wait(LONG);
        let moment = Duration::from_micros(step * 50);
        cut_off += usize::from(timeout(moment, acquire).await.is_err());
        if step % 10 == 0 {
            nothing_stays(&observer, &session).await;
        }
    }
    assert!(cut_off > 0, "every acquire was faster than its drop");
    nothing_stays(&observer, &session).await;
}

#[tokio::test]
async fn a_release_dropped_at_every_await() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let session = session(&volguard).await;
    for times in 0..3 {
        let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
        poll_times(times, lock.release()).await;
        nothing_stays(&observer, &session).await;
    }
}

#[tokio::test]
async fn a_dropped_wait_ends_on_the_server() {
    let (cluster, name) = (unique("cluster"), unique("app"));
    let observer = Observer::new().await;
    let elsewhere = session_in(&connect().await, &cluster).await;
    // Through a pooler no wait can be cancelled.
    let volguard = named_direct(&name).connect().await.unwrap();
    let session = session_in(&volguard, &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let waiter = tokio::spawn(session.acquire(key("1")).wait(LONG * 3).into_future());
    observer.until(1, async |o| o.acquires_of(&name).await).await;
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    observer.until(0, async |o| o.acquires_of(&name).await).await;
    held.release().await.unwrap();
    nothing_stays(&observer, &session).await;
}

#[tokio::test]
async fn a_dropped_wait_that_goes_on_wins_nothing() {
    let cluster = unique("cluster");
    let observer = Observer::new().await;
    let elsewhere = session_in(&connect().await, &cluster).await;
    // In this mode no cancel requests are sent.
    let (name, mode) = (unique("app"), StatementMode::Unnamed);
    let builder = named(&name).statement_mode(mode).pool_size(2);
    let session = session_in(&builder.connect().await.unwrap(), &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let waiter = tokio::spawn(session.acquire(key("1")).wait(LONG * 3).into_future());
    observer.until(1, async |o| o.acquires_of(&name).await).await;
    waiter.abort();
    assert!(timeout(MOMENT, session.lost()).await.is_err());
    assert_eq!(observer.acquires_of(&name).await, 1);
    held.release().await.unwrap();
    let next = elsewhere.acquire(key("1")).wait(LONG).await.unwrap();
    next.unwrap().release().await.unwrap();
    nothing_stays(&observer, &session).await;
}

#[tokio::test]
async fn a_wait_dropped_as_it_is_served_leaves_no_lock() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let observer = Observer::new().await;
    let elsewhere = session_in(&volguard, &cluster).await;
    let session = session_in(&volguard, &cluster).await;
    for step in 0..30 {
        let held = elsewhere.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
        let waiter = tokio::spawn(session.acquire(key("1")).wait(LONG).into_future());
        sleep(Duration::from_millis(5)).await;
        let release = tokio::spawn(held.release());
        sleep(Duration::from_micros(step * 100)).await;
        waiter.abort();
        // Served or not: a lock that it got is released with it.
        drop(waiter.await);
        release.await.unwrap().unwrap();
    }
    nothing_stays(&observer, &session).await;
}

#[tokio::test]
async fn a_dropped_place_in_the_line_is_no_gap() {
    let session = session(&connect().await).await;
    let held = session.acquire(key("1")).await.unwrap().unwrap();
    let first = tokio::spawn(session.acquire(key("1")).wait(LONG).into_future());
    let second = tokio::spawn(session.acquire(key("1")).wait(LONG).into_future());
    sleep(MOMENT / 3).await;
    first.abort();
    held.release().await.unwrap();
    assert!(timeout(LONG, second).await.unwrap().unwrap().unwrap().is_some());
}
