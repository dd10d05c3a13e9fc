//! Submitted work in the hands of services: streams, their guards, and what becomes of work that no one has got.

mod lost;

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use serde_json::json;
use tokio::time::timeout;
use volguard::update::column;
use volguard::{Error, Loss, UpdateOutcome};

use crate::support::{
    LONG, MOMENT, Stage, code, direct, key, named, named_direct, next, nothing, patient, session_in, unique,
};

#[tokio::test]
async fn work_is_taken_with_all_that_was_said_and_finished() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let details = json!({"force": [true]});
    let work_id = stage.delete(1).details(&details).lock_name("data").await.unwrap().started().unwrap().work_id;
    let mut stream = session.work(&["create", "delete"]).resource_type(&stage.kind);
    let mut work = next(&mut stream).await;
    assert_eq!((work.resource_type(), work.resource_id(), work.lock_name()), (&*stage.kind, "1", "data"));
    assert_eq!((work.work_id(), work.operation(), work.status()), (Some(work_id), "delete", "deleting"));
    assert_eq!((work.attempt(), work.crashed_service_id()), (1, None));
    assert_eq!(work.details().unwrap(), Some(details));
    assert!(matches!(work.details::<String>(), Err(Error::Deserialize(_))));
    assert!(work.token() > work_id);
    work.assert_held().await.unwrap();
    work.set_status("wiping").await.unwrap();
    let refused = work.finish().set("size", json!(null)).await.unwrap_err();
    assert_eq!(code(&refused), Some("23502"));
    let end = work.finish().set("status", "deleted").set("size", column("size") + 1).await.unwrap();
    assert_eq!(end.updated().unwrap().get::<i64>("size").unwrap(), 2);
    assert_eq!(work.loss(), Some(Loss::Released));
    assert_eq!((stage.in_status("deleted").await, stage.work().await), (1, (0, 0)));
    // Work that a session starts itself has none of this.
    let started = session.start_work(&stage.kind, "2").set("status", "extending").await.unwrap().started().unwrap();
    assert_eq!((started.work_id(), started.operation(), started.details::<i64>().unwrap()), (None, "", None));
}

#[tokio::test]
async fn a_stream_gets_what_it_asks_for_and_waits_for_it() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let (mut other, mut of_type) = (session.work(&["create"]), session.work(&[]).resource_type("other"));
    let mut stream = session.work(&["delete"]);
    nothing(&mut stream, MOMENT).await;
    stage.submitted(1).await;
    assert_eq!(next(&mut stream).await.resource_id(), "1");
    nothing(&mut other, MOMENT).await;
    nothing(&mut of_type, MOMENT).await;
    // One that is due only later.
    stage.delete(2).delay(MOMENT).await.unwrap().started().unwrap();
    assert_eq!(next(&mut stream).await.resource_id(), "2");
    let refused = session.work(&[""]).next().await.unwrap_err();
    assert_eq!(code(&refused), Some("22023"));
}

#[tokio::test]
async fn released_work_is_taken_again_and_passed_work_by_another_operation() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let work_id = stage.submitted(1).await;
    let (mut deleting, mut wiping) = (session.work(&["delete"]), session.work(&["wipe"]));
    let work = next(&mut deleting).await;
    let first = work.token();
    assert!(work.release().await.unwrap());
    let mut work = next(&mut deleting).await;
    assert!(work.token() > first);
    assert_eq!((work.work_id(), work.attempt()), (Some(work_id), 1));
    let nowhere = work.pass("wipe").cluster("nowhere").await.unwrap_err();
    assert_eq!(code(&nowhere), Some("42704"));
    work.assert_held().await.unwrap();
    let pass = work.pass("wipe").details(7).set("status", "wiping");
    let row = pass.await.unwrap().updated().expect("it is held");
    assert_eq!(row.get::<String>("status").unwrap(), "wiping");
    assert_eq!(work.loss(), Some(Loss::Released));
    let gone = work.pass("wipe").await;
    assert!(matches!(gone, Err(Error::SessionLost(Loss::Released)) | Ok(UpdateOutcome::Fenced)), "{gone:?}");
    let passed = next(&mut wiping).await;
    assert_eq!((passed.work_id(), passed.status(), passed.details().unwrap()), (Some(work_id), "wiping", Some(7)));
    // Nothing is set, and it has its details still.
    let mut passed = passed;
    assert_eq!(passed.pass("delete").await.unwrap().updated().unwrap().as_json(), "null");
    drop(work);
    let back = next(&mut deleting).await;
    assert_eq!((back.status(), back.details().unwrap()), ("wiping", Some(7)));
    let mut started = session.start_work(&stage.kind, "2").set("status", "x").await.unwrap().started().unwrap();
    assert_eq!(code(&started.pass("delete").await.unwrap_err()), Some("22023"));
}

#[tokio::test]
async fn each_piece_is_taken_by_one() {
    let stage = Stage::new().await;
    let (mut takers, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let session = stage.session().await;
        let mut stream = session.work(&[]);
        sessions.push(session);
        takers.push(tokio::spawn(async move {
            let mut done = Vec::new();
            while let Some(mut work) = stream.next().await.unwrap() {
                assert!(work.finish().set("status", "deleted").await.unwrap().is_updated());
                done.push(work.work_id().unwrap());
            }
            done
        }));
    }
    let mut submitted = HashSet::new();
    for volume in 0..40 {
        submitted.insert(stage.submitted(volume).await);
    }
    stage.until_work(0, 0).await;
    // Stopped in order, each stream ends well.
    for session in sessions {
        timeout(LONG, session.stop()).await.unwrap().unwrap();
    }
    let mut done = Vec::new();
    for taker in takers {
        done.extend(taker.await.unwrap());
    }
    assert_eq!((done.len(), done.into_iter().collect::<HashSet<_>>()), (40, submitted));
}

#[tokio::test]
async fn a_stream_takes_no_more_than_its_guards_may_be() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    for volume in 0..4 {
        stage.submitted(volume).await;
    }
    let mut stream = session.work(&[]).concurrency(2);
    let (one, mut two) = (next(&mut stream).await, next(&mut stream).await);
    nothing(&mut stream, MOMENT).await;
    assert_eq!(stage.work().await, (2, 2));
    assert!(two.finish().set("status", "deleted").await.unwrap().is_updated());
    let three = next(&mut stream).await;
    drop(two);
    nothing(&mut stream, MOMENT).await;
    assert!(one.release().await.unwrap());
    let four = next(&mut stream).await;
    assert_eq!((three.resource_id(), four.resource_id()), ("2", "3"));
}

#[tokio::test]
async fn it_is_a_stream_of_the_ecosystem() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    stage.submitted(1).await;
    let mut stream = session.work(&[]).concurrency(3);
    let mut polled = async || std::future::poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await;
    assert_eq!(timeout(LONG, polled()).await.unwrap().unwrap().unwrap().resource_id(), "1");
    session.stop().await.unwrap();
    assert!(polled().await.is_none());
    assert!(polled().await.is_none());
}

/// One statement that waits, on one connection, however long.
#[tokio::test]
async fn an_idle_stream_asks_nothing() {
    let (stage, name) = (Stage::new().await, unique("app"));
    let volguard = named_direct(&name).connect().await.unwrap();
    let session = session_in(&volguard, &stage.cluster).await;
    let mut stream = session.work(&[]);
    let since = async |stage: &Stage| {
        const SQL: &str = "SELECT coalesce(max(EXTRACT(epoch FROM query_start) * 1000000), 0)::bigint \
             FROM pg_stat_activity WHERE application_name = $1 AND state = 'active' \
             AND position('next_work' IN query) > 0";
        stage.observer.number(SQL, &[&name]).await
    };
    stage.until_asleep(&mut stream, &name).await;
    let asked = since(&stage).await;
    nothing(&mut stream, MOMENT * 8).await;
    assert_eq!((asked, 1), (since(&stage).await, stage.observer.running(&name, "next_work").await));
    drop(stream);
    stage.observer.until(0, async |o| o.running(&name, "next_work").await).await;
}

/// The only connection that may wait is taken by an acquire.
#[tokio::test]
async fn work_needs_no_connection_that_may_wait() {
    let (stage, name) = (Stage::new().await, unique("app"));
    let elsewhere = stage.session().await;
    let volguard = named(&name).pool_size(4).max_waiters(1).connect().await.unwrap();
    let session = session_in(&volguard, &stage.cluster).await;
    let held = elsewhere.acquire(key("held")).await.unwrap().unwrap();
    let waiter = tokio::spawn(session.acquire(key("held")).wait(LONG * 3).into_future());
    stage.observer.until(1, async |o| o.acquires_of(&name).await).await;
    let mut stream = session.work(&[]).concurrency(2);
    nothing(&mut stream, MOMENT).await;
    stage.submitted(1).await;
    let _one = next(&mut stream).await;
    assert!(!waiter.is_finished());
    // It waits with that connection as soon as it is free.
    held.release().await.unwrap();
    let lock = timeout(LONG, waiter).await.unwrap().unwrap().unwrap().unwrap();
    nothing(&mut stream, Duration::ZERO).await;
    let waits = async {
        loop {
            nothing(&mut stream, MOMENT).await;
            if stage.observer.running(&name, "next_work").await == 1 {
                return;
            }
        }
    };
    timeout(LONG, waits).await.expect("it waits in the database");
    assert!(lock.release().await.unwrap());
}

#[tokio::test]
async fn work_is_taken_also_where_no_more_calls_may_wait() {
    let (stage, mut config) = (Stage::new().await, direct());
    config.options("-c volguard.max_waiters=1");
    let volguard = patient().config(config).connect().await.unwrap();
    let session = session_in(&volguard, &stage.cluster).await;
    let (mut waits, mut refused) = (session.work(&["other"]), session.work(&["delete"]));
    nothing(&mut waits, MOMENT).await;
    nothing(&mut refused, MOMENT).await;
    stage.submitted(1).await;
    assert_eq!(next(&mut refused).await.resource_id(), "1");
}
