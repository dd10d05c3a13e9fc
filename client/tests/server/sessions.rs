//! How a session lives and ends.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};
use volguard::{Error, Loss, Volguard};

use crate::support::{
    LEASE, LONG, Observer, Proxy, beats, client, code, connect, date, key, named, outlives_its_lease, own, session_in,
    unique,
};

#[tokio::test]
async fn connecting_refuses_what_cannot_work() {
    let refused = Volguard::connect("postgresql://localhost/?nonsense=1").await;
    assert!(matches!(refused, Err(Error::Configuration(_))), "{refused:?}");
    let refused = client().pool_size(1).connect().await;
    assert!(matches!(refused, Err(Error::Configuration(_))), "{refused:?}");
    let refused = Volguard::connect("postgresql://postgres@127.0.0.1:1/volguard").await;
    assert!(matches!(refused, Err(Error::Connect { .. })), "{refused:?}");
    assert!(refused.unwrap_err().is_retryable());
}

#[tokio::test]
async fn takes_the_lease_that_the_server_settles_on() {
    let volguard = connect().await;
    let session = volguard.register(&unique("host"), "test").await;
    assert_eq!(session.unwrap().lease(), Duration::from_secs(60));
    let asked = Duration::from_micros(61_234_567);
    let registration = volguard.register(&unique("host"), "test").lease(asked);
    let session = registration.details(json!({"rack": 7})).await.unwrap();
    assert_eq!(session.lease(), asked);
    assert!(session.lost_at() < Instant::now() + asked);
}

#[tokio::test]
async fn refused_registrations_say_why() {
    let volguard = connect().await;
    let refused = volguard.register("", "test").await.unwrap_err();
    assert_eq!(code(&refused), Some("22023"));
    assert!(refused.database_error().unwrap().hint().is_some());
    assert!(!refused.is_retryable());
    let lease = Duration::ZERO;
    let refused = volguard.register("host", "test").lease(lease).await;
    assert_eq!(code(&refused.unwrap_err()), Some("22023"));
}

#[tokio::test]
async fn heartbeats_outlive_the_lease() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.await.unwrap();
    outlives_its_lease(&session).await;
    assert_eq!(observer.up(session.service_id()).await, 1);
}

#[tokio::test]
async fn heartbeats_need_no_connection_of_the_pool() {
    let volguard = client().pool_size(2).connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.await.unwrap();
    let _all = (volguard.connection().await.unwrap(), volguard.connection().await.unwrap());
    outlives_its_lease(&session).await;
}

#[tokio::test]
async fn a_dead_connection_is_replaced_in_time() {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().pool_size(2).connect().await.unwrap();
    // Most of it is over when the heartbeat that is not answered is given up.
    let registration = volguard.register(&unique("host"), "test").lease(LEASE * 2);
    let session = registration.await.unwrap();
    // The pool has no replacement.
    let _all = (volguard.connection().await.unwrap(), volguard.connection().await.unwrap());
    proxy.freeze_open();
    beats(&session).await;
}

#[tokio::test]
async fn is_lost_before_the_lease_ends_on_the_server() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.await.unwrap();
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    proxy.freeze_all();
    let loss = timeout(LONG, lock.lost()).await.unwrap();
    let end = observer.end_of_lease(session.service_id()).await;
    assert!(date(session.lost_at()) < end);
    assert_eq!((loss, session.loss()), (Loss::LeaseRanOut, Some(Loss::LeaseRanOut)));
    assert!(session.loss().is_some() && lock.loss().is_some());
    // Refused here; the frozen network would not answer at all.
    let refused = timeout(LONG, session.acquire(key("2"))).await.unwrap();
    assert!(matches!(refused, Err(Error::SessionLost(Loss::LeaseRanOut))));
    let refused = timeout(LONG, lock.assert_held()).await.unwrap();
    assert!(matches!(refused, Err(Error::SessionLost(_))));
    let update = volguard.update("volumes").key("id", 1).fenced_by(&lock);
    let refused = timeout(LONG, update).await.unwrap();
    assert!(matches!(refused, Err(Error::SessionLost(_))));
}

#[tokio::test]
async fn slow_replies_make_the_lease_no_longer() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let lease = Duration::from_secs(30);
    let session = volguard.register(&unique("host"), "test").lease(lease).await.unwrap();
    // More than the tenth of the lease that is the margin, which would hide it. A heartbeat may take twice as long.
    proxy.delay_replies(lease / 8);
    beats(&session).await;
    let lost_at = date(session.lost_at());
    // A third of the lease is left until the next heartbeat.
    let end = observer.end_of_lease(session.service_id()).await;
    assert!(lost_at < end);
}

/// Blocks the runtime's only thread: its timers and connections stand still, as those of a stopped process do.
fn stop_the_process(time: Duration) {
    std::thread::sleep(time);
}

#[tokio::test]
async fn a_stopped_process_finds_itself_lost_at_its_first_look() {
    let volguard = connect().await;
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.await.unwrap();
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    stop_the_process(LEASE);
    assert!(session.loss().is_some() && lock.loss().is_some());
    assert_eq!(session.loss(), Some(Loss::LeaseRanOut));
    let refused = session.acquire(key("2")).await;
    assert!(matches!(refused, Err(Error::SessionLost(_))));
    // The server would still accept a heartbeat; the loss stays.
    assert!(timeout(LONG, session.lost()).await.is_ok() && session.loss().is_some());
}

#[tokio::test]
async fn a_lock_won_while_the_process_stood_still_is_given_back() {
    let (name, observer) = (unique("app"), Observer::new().await);
    let volguard = named(&name).connect().await.unwrap();
    let cluster = unique("cluster");
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let session = registration.cluster(&cluster).await.unwrap();
    // The holder lives in a thread of its own, and releases while this one is stopped.
    let (held, is_held) = std::sync::mpsc::channel();
    let (stopping, is_stopping) = std::sync::mpsc::channel();
    let id = own("1");
    let holder = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let elsewhere = session_in(&connect().await, &cluster).await;
            let lock = elsewhere.acquire(("volume", id)).await.unwrap().unwrap();
            held.send(()).unwrap();
            is_stopping.recv().unwrap();
            tokio::time::sleep(LEASE / 3).await;
            assert!(lock.release().await.unwrap());
        });
    });
    tokio::task::spawn_blocking(move || is_held.recv().unwrap()).await.unwrap();
    let waiter = tokio::spawn(session.acquire(key("1")).wait(LONG).into_future());
    observer.until(1, async |o| o.acquires_of(&name).await).await;
    stopping.send(()).unwrap();
    stop_the_process(LEASE);
    let refused = timeout(LONG, waiter).await.unwrap().unwrap();
    assert!(matches!(refused, Err(Error::SessionLost(_))), "{refused:?}");
    holder.join().unwrap();
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

#[tokio::test]
async fn a_new_incarnation_fences_the_old_one() {
    let (volguard, host) = (connect().await, unique("host"));
    let registration = volguard.register(&host, "test").lease(LEASE);
    let old = registration.clone().await.unwrap();
    let waiting = old.clone();
    let new = registration.await.unwrap();
    assert!(new.service_id() > old.service_id());
    let refused = waiting.acquire(key("1")).await.unwrap_err();
    assert!(matches!(refused, Error::ServiceFenced(_) | Error::SessionLost(_)), "{refused}");
    assert_eq!(timeout(LONG, old.lost()).await.unwrap(), Loss::Fenced);
    let refused = waiting.acquire(key("1")).await.unwrap_err();
    assert!(matches!(refused, Error::SessionLost(Loss::Fenced)), "{refused}");
    // The first loss stays, whatever comes later.
    assert!(matches!(waiting.stop().await, Err(Error::SessionLost(Loss::Fenced))));
    assert_eq!(old.loss(), Some(Loss::Fenced));
    assert!(new.loss().is_none());
}

/// Otherwise its lease would expire.
#[tokio::test]
async fn the_heartbeat_alone_notices_the_fence() {
    let (volguard, host) = (connect().await, unique("host"));
    let registration = volguard.register(&host, "test").lease(LEASE);
    let old = registration.clone().await.unwrap();
    let _new = registration.await.unwrap();
    assert_eq!(timeout(LONG, old.lost()).await.unwrap(), Loss::Fenced);
}
