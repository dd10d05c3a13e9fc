//! Live sessions clean up after dead services.

use std::time::Duration;

use tracing::Level;
use volguard::{Session, Volguard};

use crate::support::{Fault, LONG, Log, Observer, Proxy, connect, key, named, session_in, unique};

/// A dead service, with a lock.
async fn doomed(observer: &Observer, cluster: &str) -> i64 {
    const REGISTER: &str = "SELECT volguard.register_service($1, 'test', cluster => $2)";
    let service_id = observer.number(REGISTER, &[&unique("host"), &cluster]).await;
    const ACQUIRE: &str = "SELECT volguard.acquire($1, 'volume', $2)";
    observer.number(ACQUIRE, &[&service_id, &unique("v")]).await;
    observer.end_lease(service_id).await;
    service_id
}

/// Waits until the service is fenced and holds nothing.
async fn until_cleaned(observer: &Observer, service_id: i64) {
    const CLEANED: &str = "SELECT count(*) FROM volguard.service_status \
         WHERE service_id = $1 AND state = 'fenced' AND held_locks = 0";
    observer.until(1, async |o| o.number(CLEANED, &[&service_id]).await).await;
}

/// How often these services were cleaned up after.
async fn cleanings(observer: &Observer, services: &[i64]) -> i64 {
    const CLEANINGS: &str = "SELECT count(*) FROM volguard.event_log WHERE kind = 'cleaned' AND service_id = ANY ($1)";
    observer.number(CLEANINGS, &[&services]).await
}

async fn session(volguard: &Volguard, cluster: &str) -> Session {
    let registration = volguard.register(&unique("host"), "test").cluster(cluster);
    registration.janitor(Duration::from_millis(100)).await.expect("a session")
}

#[tokio::test]
async fn the_dead_of_its_cluster_are_cleaned_up() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let (cluster, elsewhere) = (unique("cluster"), unique("cluster"));
    let session = session(&volguard, &cluster).await;
    let other = doomed(&observer, &elsewhere).await;
    let dead = doomed(&observer, &cluster).await;
    until_cleaned(&observer, dead).await;
    // Once more, for the next.
    let next = doomed(&observer, &cluster).await;
    until_cleaned(&observer, next).await;
    session.stop().await.unwrap();
    assert_eq!(
        observer.number("SELECT held_locks FROM volguard.service_status WHERE service_id = $1", &[&other]).await,
        1
    );
}

/// They take turns, and go on when one of them ends, in whatever way.
#[tokio::test]
async fn of_several_sessions_one_cleans_up_after_each_crash() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(session(&volguard, &cluster).await);
    }
    let mut crashed = Vec::new();
    for left in [3, 2, 1] {
        assert_eq!(sessions.len(), left);
        for _ in 0..3 {
            let dead = doomed(&observer, &cluster).await;
            until_cleaned(&observer, dead).await;
            crashed.push(dead);
        }
        let session = sessions.pop().expect("one is left");
        match left {
            3 => drop(session.stop().await.unwrap()),
            _ => drop(session),
        }
    }
    assert_eq!(cleanings(&observer, &crashed).await, 9);
}

/// All connections that may wait do wait; the one that is left is for releases.
#[tokio::test]
async fn a_pool_full_of_waiters_does_not_keep_it_from_its_work() {
    let name = unique("full");
    let (volguard, observer) = (named(&name).pool_size(2).connect().await.unwrap(), Observer::new().await);
    let cluster = unique("cluster");
    let holder = session_in(&connect().await, &unique("cluster")).await;
    let lock = holder.acquire(key("v")).await.unwrap().expect("free");
    let session = session(&volguard, &cluster).await;
    let waiter = session.clone();
    let waiting = tokio::spawn(async move { waiter.acquire(key("v")).wait(LONG * 3).await });
    observer.until(1, async |o| o.acquires_of(&name).await).await;
    let dead = doomed(&observer, &cluster).await;
    until_cleaned(&observer, dead).await;
    assert_eq!(observer.acquires_of(&name).await, 1, "it still waits");
    lock.release().await.unwrap();
    let lock = waiting.await.unwrap().unwrap().expect("in time");
    lock.release().await.unwrap();
    session.stop().await.unwrap();
}

/// A call that fails is told once, and the next one does the work.
#[tokio::test]
async fn errors_are_told_and_the_next_look_goes_on() {
    let (log, observer, cluster) = (Log::listen(), Observer::new().await, unique("cluster"));
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session(&volguard, &cluster).await;
    proxy.inject("volguard.auto_cleanup", Fault::LoseStatement, 2);
    observer.until(1, async |_| i64::from(proxy.struck())).await;
    let dead = doomed(&observer, &cluster).await;
    until_cleaned(&observer, dead).await;
    assert_eq!(log.count(Level::WARN, "the janitor"), 1, "{:?}", log.lines());
    assert!(session.loss().is_none());
    session.stop().await.unwrap();
}
