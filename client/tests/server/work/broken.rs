//! The same, whatever breaks: connections, and futures that are dropped.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;
use volguard::{Error, Session};

use super::Stage;
use crate::support::{
    Fault, LONG, MOMENT, Proxy, behind_a_proxy, connect, named_direct, poll_times, session, session_in, unique,
};

const START: &str = "volguard.start_work(";
const FINISH: &str = "volguard.finish_work(";

async fn proxied() -> (Proxy, Session, Stage) {
    let (proxy, _volguard, session) = behind_a_proxy().await;
    (proxy, session, Stage::new().await)
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_the_same_work() {
    let (proxy, session, stage) = proxied().await;
    for fault in [Fault::LoseReply, Fault::LoseStatement] {
        proxy.inject(START, fault, 1);
        let mut work = stage.started(&session).await;
        assert!(proxy.struck());
        assert_eq!(work.row().get::<String>("status").unwrap(), "extending");
        assert_eq!(stage.observer.locks_of(&session).await, 1);
        let end = work.finish().set("status", "available").await.unwrap();
        assert!(end.is_updated());
    }
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_for_good_is_kept() {
    let (proxy, session, stage) = proxied().await;
    let start = stage.start(&session).request_id(Uuid::new_v4());
    proxy.inject(START, Fault::LoseReply, 2);
    let failed = start.clone().await.unwrap_err();
    assert!(matches!(failed, Error::Database(_)) && failed.is_retryable(), "{failed}");
    assert!(proxy.struck());
    // Time enough for the session to release what a request for a lock would have left.
    sleep(MOMENT * 3).await;
    assert_eq!(stage.observer.locks_of(&session).await, 1);
    stage.assert_status("extending").await;
    let mut work = start.await.unwrap().started().unwrap();
    let end = work.finish().set("status", "available").await.unwrap();
    assert!(end.is_updated());
    stage.assert_untouched(&session).await;
}

#[tokio::test]
async fn an_end_that_was_lost_is_repeated() {
    let (proxy, session, stage) = proxied().await;
    let mut work = stage.started(&session).await;
    proxy.inject(FINISH, Fault::LoseStatement, 2);
    let end = work.finish().set("status", "available").await.unwrap();
    assert!(proxy.struck() && end.is_updated());
    stage.assert_untouched(&session).await;
}

/// The lock could have been taken away instead. So it is an error, and the row shows the outcome.
#[tokio::test]
async fn an_end_whose_answer_was_lost_is_no_success_and_no_fence() {
    let (proxy, session, stage) = proxied().await;
    let mut work = stage.started(&session).await;
    proxy.inject(FINISH, Fault::LoseReply, 1);
    let unknown = work.finish().set("status", "available").await.unwrap_err();
    assert!(matches!(unknown, Error::Database(_)), "{unknown}");
    assert!(proxy.struck());
    stage.assert_untouched(&session).await;
    drop(work);
    drop(stage.started(&session).await.into_lock());
}

#[tokio::test]
async fn a_start_dropped_at_every_await_is_all_or_nothing() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    // One statement, so that both are seen at one moment.
    let apart = format!(
        "SELECT abs((SELECT count(*) FROM {} WHERE status = 'extending') \
         - (SELECT count(*) FROM volguard.lock_status WHERE service_id = $1))",
        stage.table
    );
    for times in 1.. {
        let start = stage.start(&session).request_id(Uuid::new_v4());
        let done = poll_times(times, start.clone().into_future()).await;
        for _ in 0..5 {
            let service = session.service_id();
            assert_eq!(stage.observer.number(&apart, &[&service]).await, 0);
        }
        let is_done = done.is_some();
        // Whatever the server did, or still does, the same request returns the same work.
        let outcome = match done {
            Some(outcome) => outcome,
            None => start.wait(LONG).await,
        };
        let mut work = outcome.unwrap().started().unwrap();
        assert_eq!(stage.observer.locks_of(&session).await, 1);
        let end = work.finish().set("status", "available").await.unwrap();
        assert!(end.is_updated());
        stage.assert_untouched(&session).await;
        if is_done {
            break;
        }
    }
}

#[tokio::test]
async fn a_wait_that_is_called_off_starts_nothing() {
    let (volguard, stage, name) = (connect().await, Stage::new().await, unique("app"));
    let cluster = unique("cluster");
    // Through a pooler no wait can be called off.
    let elsewhere = named_direct(&name).connect().await.unwrap();
    let (one, two) = (session_in(&volguard, &cluster).await, session_in(&elsewhere, &cluster).await);
    let mut work = stage.started(&one).await;
    tokio::select! {
        started = stage.start(&two).wait(LONG).into_future() => panic!("{started:?}"),
        () = stage.observer.until(1, async |o| o.sleeping(&name, START).await) => {}
    }
    stage.observer.until(0, async |o| o.running(&name, START).await).await;
    let end = work.finish().set("status", "available").await.unwrap();
    assert!(end.is_updated());
    let mut work = stage.started(&one).await;
    let end = work.finish().set("status", "available").await.unwrap();
    assert!(end.is_updated());
    stage.assert_untouched(&two).await;
}

#[tokio::test]
async fn an_end_dropped_at_every_await_goes_on() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    for times in 1.. {
        let mut work = stage.started(&session).await;
        let end = work.finish().set("status", "available").into_future();
        let done = poll_times(times, end).await.is_some();
        drop(work);
        let (table, observer) = (&stage.table, &stage.observer);
        let sql = format!("SELECT count(*) FROM {table} WHERE status = 'available'");
        observer.until(1, async |o| o.number(&sql, &[]).await).await;
        stage.assert_untouched(&session).await;
        if done {
            break;
        }
        // No second end may follow.
        sleep(Duration::from_millis(5)).await;
    }
}
