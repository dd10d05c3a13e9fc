//! How a session lives and ends.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};
use volguard::{Error, Loss, Volguard};

use crate::support::{
    LONG, MOMENT, Observer, Proxy, client, code, connect, session, session_in, unique,
};

const SHORT_LEASE: Duration = Duration::from_millis(900);

async fn up(observer: &Observer, service_id: i64) -> i64 {
    const SQL: &str =
        "SELECT count(*) FROM volguard.service_status WHERE service_id = $1 AND state = 'up'";
    observer.number(SQL, &[&service_id]).await
}

#[tokio::test]
async fn connecting_demands_the_extension() {
    let mut elsewhere = crate::support::config();
    elsewhere.dbname("template1");
    let refused = client().config(elsewhere).connect().await;
    assert!(
        matches!(refused, Err(Error::ExtensionMissing)),
        "{refused:?}"
    );
    assert!(
        !connect()
            .await
            .extension_version()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn connecting_refuses_what_cannot_work() {
    let refused = Volguard::connect("postgresql://localhost/?nonsense=1").await;
    assert!(
        matches!(refused, Err(Error::Configuration(_))),
        "{refused:?}"
    );
    let refused = client().pool_size(1).connect().await;
    assert!(
        matches!(refused, Err(Error::Configuration(_))),
        "{refused:?}"
    );
    let refused = Volguard::connect("postgresql://postgres@127.0.0.1:1/volguard").await;
    assert!(matches!(refused, Err(Error::Pool(_))), "{refused:?}");
    assert!(refused.unwrap_err().is_retryable());
}

#[tokio::test]
async fn takes_the_lease_that_the_server_settles_on() {
    let volguard = connect().await;
    let session = volguard.register(&unique("host"), "test").start().await;
    assert_eq!(session.unwrap().lease(), Duration::from_secs(60));
    let asked = Duration::from_micros(1_234_567);
    let registration = volguard.register(&unique("host"), "test").lease(asked);
    let session = registration
        .details(json!({"rack": 7}))
        .start()
        .await
        .unwrap();
    assert_eq!(session.lease(), asked);
    assert!(session.lost_at() < Instant::now() + asked);
}

#[tokio::test]
async fn refused_registrations_say_why() {
    let volguard = connect().await;
    let refused = volguard.register("", "test").start().await.unwrap_err();
    assert_eq!(code(&refused), Some("22023"));
    assert!(refused.database_error().unwrap().hint().is_some());
    assert!(!refused.is_retryable());
    let lease = Duration::ZERO;
    let refused = volguard.register("host", "test").lease(lease).start().await;
    assert_eq!(code(&refused.unwrap_err()), Some("22023"));
}

#[tokio::test]
async fn heartbeats_outlive_the_lease() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let registration = volguard
        .register(&unique("host"), "test")
        .lease(SHORT_LEASE);
    let session = registration.start().await.unwrap();
    let first = session.lost_at();
    assert!(timeout(SHORT_LEASE * 3, session.lost()).await.is_err());
    assert!(session.lost_at() > first + SHORT_LEASE);
    assert_eq!(up(&observer, session.service_id()).await, 1);
}

#[tokio::test]
async fn heartbeats_need_no_connection_of_the_pool() {
    let volguard = client().pool_size(2).connect().await.unwrap();
    let registration = volguard
        .register(&unique("host"), "test")
        .lease(SHORT_LEASE);
    let session = registration.start().await.unwrap();
    let _all = (
        volguard.pool().get().await.unwrap(),
        volguard.pool().get().await.unwrap(),
    );
    assert!(timeout(SHORT_LEASE * 3, session.lost()).await.is_err());
}

#[tokio::test]
async fn a_dead_connection_is_replaced_in_time() {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard
        .register(&unique("host"), "test")
        .lease(SHORT_LEASE * 2);
    let session = registration.start().await.unwrap();
    proxy.freeze_open();
    assert!(timeout(SHORT_LEASE * 6, session.lost()).await.is_err());
}

#[tokio::test]
async fn is_lost_before_the_lease_ends_on_the_server() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard
        .register(&unique("host"), "test")
        .lease(SHORT_LEASE);
    let session = registration.start().await.unwrap();
    let lock = session.acquire("volume", "1").await.unwrap().unwrap();
    proxy.freeze_all();
    let loss = timeout(LONG, lock.lost()).await.unwrap();
    assert_eq!(up(&observer, session.service_id()).await, 1);
    assert_eq!(
        (loss, session.loss()),
        (Loss::LeaseRanOut, Some(Loss::LeaseRanOut))
    );
    assert!(session.is_lost() && lock.is_lost());
    // Refused here; the frozen network would not answer at all.
    let refused = timeout(MOMENT, session.acquire("volume", "2").run())
        .await
        .unwrap();
    assert!(matches!(
        refused,
        Err(Error::SessionLost(Loss::LeaseRanOut))
    ));
    let refused = timeout(MOMENT, lock.assert_held()).await.unwrap();
    assert!(matches!(refused, Err(Error::SessionLost(_))));
    let update = volguard.update("volumes").key("id", 1).fenced_by(&lock);
    let refused = timeout(MOMENT, update.execute()).await.unwrap();
    assert!(matches!(refused, Err(Error::SessionLost(_))));
}

#[tokio::test]
async fn a_new_incarnation_fences_the_old_one() {
    let (volguard, host) = (connect().await, unique("host"));
    let registration = volguard.register(&host, "test").lease(SHORT_LEASE);
    let old = registration.clone().start().await.unwrap();
    let waiting = old.clone();
    let new = registration.start().await.unwrap();
    assert!(new.service_id() > old.service_id());
    let refused = waiting.acquire("volume", "1").await.unwrap_err();
    assert!(
        matches!(refused, Error::ServiceFenced(_) | Error::SessionLost(_)),
        "{refused}"
    );
    assert_eq!(timeout(LONG, old.lost()).await.unwrap(), Loss::Fenced);
    let refused = waiting.acquire("volume", "1").await.unwrap_err();
    assert!(
        matches!(refused, Error::SessionLost(Loss::Fenced)),
        "{refused}"
    );
    assert!(!new.is_lost());
}

#[tokio::test]
async fn the_heartbeat_alone_notices_the_fence() {
    let (volguard, host) = (connect().await, unique("host"));
    let registration = volguard.register(&host, "test").lease(SHORT_LEASE * 5);
    let old = registration.clone().start().await.unwrap();
    let _new = registration.start().await.unwrap();
    let began = Instant::now();
    assert_eq!(timeout(LONG, old.lost()).await.unwrap(), Loss::Fenced);
    assert!(began.elapsed() < SHORT_LEASE * 3, "{:?}", began.elapsed());
}

#[tokio::test]
async fn stopping_leaves_only_the_work_to_cleanup() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let session = session(&volguard).await;
    let plain = session.acquire("volume", "1").await.unwrap().unwrap();
    let work = session
        .acquire("volume", "2")
        .status("creating")
        .await
        .unwrap()
        .unwrap();
    drop(
        session
            .acquire("volume", "3")
            .status("dropped")
            .await
            .unwrap(),
    );
    assert_eq!(session.clone().stop().await.unwrap(), 1);
    assert_eq!(observer.locks_of(&session).await, 1);
    assert_eq!(
        (plain.lost().await, work.lost().await),
        (Loss::Stopped, Loss::Stopped)
    );
    assert!(!plain.release().await.unwrap());
    assert!(matches!(
        session.stop().await,
        Err(Error::SessionLost(Loss::Stopped))
    ));
}

#[tokio::test]
async fn stopping_calls_off_who_waits() {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    let other = session_in(&volguard, &cluster).await;
    let session = session_in(&volguard, &cluster).await;
    let _lock = other.acquire("volume", "1").await.unwrap().unwrap();
    let waiter = tokio::spawn(session.acquire("volume", "1").wait(LONG * 2).run());
    let behind = tokio::spawn(session.acquire("volume", "1").wait(LONG * 2).run());
    assert!(timeout(MOMENT, other.lost()).await.is_err());
    assert_eq!(timeout(LONG, session.stop()).await.unwrap().unwrap(), 0);
    for waiter in [waiter, behind] {
        let refused = timeout(LONG, waiter).await.unwrap().unwrap();
        assert!(
            matches!(refused, Err(Error::SessionLost(Loss::Stopped))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn without_a_handle_the_lease_runs_out() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let registration = volguard
        .register(&unique("host"), "test")
        .lease(SHORT_LEASE);
    let session = registration.start().await.unwrap();
    let service_id = session.service_id();
    let lock = session.acquire("volume", "1").await.unwrap().unwrap();
    drop(session);
    // The lock is a handle, too.
    assert!(timeout(SHORT_LEASE * 2, lock.lost()).await.is_err());
    drop(lock);
    observer.until(0, async |o| up(o, service_id).await).await;
}

#[tokio::test]
async fn reconcile_releases_what_the_session_does_not_know() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let session = session(&volguard).await;
    let known = session.acquire("volume", "1").await.unwrap().unwrap();
    let stray = "SELECT volguard.acquire($1, 'volume', '2')";
    observer.number(stray, &[&session.service_id()]).await;
    assert_eq!(session.reconcile().await.unwrap(), 1);
    known.assert_held().await.unwrap();
    assert_eq!(session.reconcile().await.unwrap(), 0);
}

#[tokio::test]
async fn reconcile_spares_acquires_under_way() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let mut workers = Vec::new();
    for worker in 0..4 {
        let session = session.clone();
        workers.push(tokio::spawn(async move {
            for round in 0..25 {
                let id = format!("{worker}-{round}");
                let lock = session.acquire("volume", &id).await.unwrap().unwrap();
                lock.assert_held().await.unwrap();
                assert!(lock.release().await.unwrap());
            }
        }));
    }
    while !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(session.reconcile().await.unwrap(), 0);
    }
    for worker in workers {
        worker.await.unwrap();
    }
}
