//! The queue inside the process: one connection per contended key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::{LONG, MOMENT, Observer, connect, key, named, session_in, unique};

#[tokio::test]
async fn one_connection_waits_however_many_tasks_do() {
    let (cluster, name) = (unique("cluster"), unique("app"));
    let observer = Observer::new().await;
    let elsewhere = session_in(&connect().await, &cluster).await;
    let session = session_in(&named(&name).connect().await.unwrap(), &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();

    let (inside, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut waiters = Vec::new();
    for turn in 0..20 {
        let (session, inside, served) = (session.clone(), Arc::clone(&inside), Arc::clone(&served));
        waiters.push(tokio::spawn(async move {
            let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            assert_eq!(served.fetch_add(1, Ordering::SeqCst), turn, "first come, first served");
            lock.assert_held().await.unwrap();
            inside.fetch_sub(1, Ordering::SeqCst);
            lock.release().await.unwrap();
        }));
        // It joins the queue.
        tokio::task::yield_now().await;
    }
    observer.until(1, async |o| o.acquires_of(&name).await).await;
    // All twenty have asked by now; a second one in the database would show.
    assert!(timeout(MOMENT, session.lost()).await.is_err());
    assert_eq!(observer.acquires_of(&name).await, 1);
    held.release().await.unwrap();
    for waiter in waiters {
        timeout(LONG, waiter).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn two_processes_take_turns() {
    let cluster = unique("cluster");
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(session_in(&connect().await, &cluster).await);
    }
    let inside = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for worker in 0..8 {
        let (session, inside) = (sessions[worker % 2].clone(), Arc::clone(&inside));
        workers.push(tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..20 {
                let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
                assert!(lock.token() > last);
                last = lock.token();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                lock.release().await.unwrap();
            }
        }));
    }
    for worker in workers {
        timeout(LONG * 3, worker).await.unwrap().unwrap();
    }
}

/// While it waits for one of several it holds none: neither a lock nor a place.
#[tokio::test]
async fn a_request_for_several_keeps_no_free_key_from_the_task_that_it_waits_for() {
    let session = session_in(&connect().await, &unique("cluster")).await;
    for wait in [Duration::ZERO, LONG] {
        let second = session.acquire(key("2")).wait(LONG).await.unwrap().unwrap();
        let both = tokio::spawn(session.acquire(["1", "2"].map(key)).wait(LONG * 3).into_future());
        sleep(MOMENT).await;
        let first = timeout(LONG / 4, session.acquire(key("1")).wait(wait)).await.expect("no circle").unwrap();
        assert!(first.expect("it is free").release().await.unwrap());
        assert!(second.release().await.unwrap());
        let both = timeout(LONG / 4, both).await.unwrap().unwrap().unwrap();
        assert!(both.unwrap().release().await.unwrap());
    }
}
