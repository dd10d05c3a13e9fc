//! Work of crashed services, taken over: guards, and what becomes of those that are dropped.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::{Instant, timeout};
use volguard::{Claimed, Error, Loss, Session, UpdateOutcome};

use crate::support::{Fault, LONG, MOMENT, Observer, Proxy, code, connect, key, own, plain, session_in, unique};

const SOON: Duration = Duration::from_millis(50);

/// A service that left in the middle of this work.
async fn crashed(observer: &Observer, host: &str, cluster: &str, ids: &[&str]) -> i64 {
    const REGISTER: &str = "SELECT volguard.register_service($1, 'test', cluster => $2)";
    const ACQUIRE: &str = "SELECT volguard.acquire($1, 'volume', $2, status => 'deleting', details => '{\"step\": 3}')";
    let service_id = observer.number(REGISTER, &[&host, &cluster]).await;
    for id in ids {
        observer.number(ACQUIRE, &[&service_id, &own(id)]).await;
    }
    const LEAVE: &str = "SELECT volguard.deregister_service($1)";
    assert_eq!(observer.number(LEAVE, &[&service_id]).await, ids.len() as i64);
    service_id
}

/// How much of a service's work is unclaimed.
async fn waiting(observer: &Observer, service_id: i64) -> i64 {
    const WAITING: &str = "SELECT count(*) FROM volguard.lock_status WHERE service_id = $1";
    observer.number(WAITING, &[&service_id]).await
}

/// Another incarnation replaces the service.
async fn fence(observer: &Observer, session: &Session) {
    const AGAIN: &str = "SELECT volguard.register_service(host, binary_name, cluster => cluster) \
                         FROM volguard.service_status WHERE service_id = $1";
    observer.number(AGAIN, &[&session.service_id()]).await;
}

async fn one(session: &Session) -> Claimed {
    session.claims().try_next().await.unwrap().expect("some work")
}

#[tokio::test]
async fn claimed_work_is_a_lock_until_it_is_finished() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let table = unique("volumes").replace('-', "_");
    observer
        .run(&format!(
            "CREATE TABLE {table} (id text PRIMARY KEY, status text); INSERT INTO {table} VALUES ('v', 'deleting')"
        ))
        .await;
    let dead = crashed(&observer, &unique("host"), &cluster, &["v"]).await;
    let session = session_in(&volguard, &cluster).await;
    let none = session.claims().resource_type("share").try_next().await;
    assert!(none.unwrap().is_none());
    let work = one(&session).await;
    assert_eq!((work.resource_type(), plain(work.resource_id()), work.lock_name()), ("volume", "v", ""));
    assert_eq!((&*work.row().status, work.row().crashed_service_id), ("deleting", dead));
    assert_eq!(work.row().details().unwrap(), Some(json!({"step": 3})));
    assert!(matches!(work.row().details::<String>(), Err(Error::Deserialize(_))));
    work.assert_held().await.unwrap();
    work.set_status("wiping").await.unwrap();
    assert!(session.claims().try_next().await.unwrap().is_none());
    assert!(session.acquire(key("v")).await.unwrap().is_none());
    let update = volguard.update(&table).key("id", "v").set("status", "error").fenced_by(&work);
    assert!(matches!(update.clone().await.unwrap(), UpdateOutcome::Updated(_)));
    assert!(work.finish_cleanup().await.unwrap());
    assert!(matches!(update.await.unwrap(), UpdateOutcome::Fenced));
    assert!(session.acquire(key("v")).await.unwrap().is_some());
}

#[tokio::test]
async fn filters_narrow_what_is_claimed() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let (host, other_host) = (unique("host"), unique("host"));
    let dead = crashed(&observer, &host, &cluster, &["a", "b"]).await;
    crashed(&observer, &other_host, &cluster, &["c"]).await;
    let session = session_in(&volguard, &cluster).await;
    let claims = || session.claims();
    for none in [
        claims().resource_id("none"),
        claims().host("none"),
        claims().binary_name("none"),
        claims().crashed_service(-1),
        claims().crashed_service(dead).host(&other_host),
        claims().until(SystemTime::UNIX_EPOCH),
    ] {
        let mut none = none;
        assert!(none.try_next().await.unwrap().is_none(), "{none:?}");
    }
    let ahead = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    let one = claims().resource_type("volume").host(&host).crashed_service(dead).until(ahead).try_next().await;
    let one = one.unwrap().expect("the older one");
    assert_eq!(plain(one.resource_id()), "a");
    let mut rest = claims().host(&other_host);
    let other = rest.try_next().await.unwrap().expect("the other's");
    assert_eq!(plain(other.resource_id()), "c");
    assert!(rest.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_dropped_or_abandoned_is_given_back() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let dead = crashed(&observer, &unique("host"), &cluster, &["v"]).await;
    let session = session_in(&volguard, &cluster).await;
    drop(one(&session).await);
    observer.until(1, async |o| waiting(o, dead).await).await;
    let work = one(&session).await;
    let token = work.token();
    assert!(work.abandon_cleanup().await.unwrap());
    assert_eq!(waiting(&observer, dead).await, 1);
    let work = one(&session).await;
    assert!(work.token() > token);
    // Work taken away by an administrator is neither finished nor given back.
    const RESET: &str = "SELECT volguard.force_release($1, 'test')::int::bigint";
    assert_eq!(observer.number(RESET, &[&work.token()]).await, 1);
    assert!(!work.finish_cleanup().await.unwrap());
    assert_eq!(session.stop().await.unwrap(), 0);
}

#[tokio::test]
async fn claims_of_bad_requests_and_fenced_services_are_refused() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let session = session_in(&volguard, &cluster).await;
    let refused = session.claims().resource_type("").next().await.unwrap_err();
    assert_eq!(code(&refused), Some("22023"));
    fence(&observer, &session).await;
    let refused = session.claims().try_next().await.unwrap_err();
    assert!(matches!(refused, Error::ServiceFenced(_)), "{refused}");
    let refused = session.claims().try_next().await.unwrap_err();
    assert!(matches!(refused, Error::SessionLost(Loss::Fenced)), "{refused}");
}

/// Hands the work out to tasks, and finishes or gives back each piece, as the documentation shows.
async fn serve(session: Session, handled: Arc<Mutex<HashMap<String, usize>>>) -> Result<(), Error> {
    let mut claims = session.claims().every(SOON);
    while let Some(work) = claims.next().await? {
        let id = plain(work.resource_id()).to_owned();
        let attempt = {
            let mut handled = handled.lock().unwrap();
            let attempts = handled.entry(id.clone()).or_default();
            *attempts += 1;
            *attempts
        };
        tokio::spawn(async move {
            let repair = async {
                tokio::task::yield_now().await;
                match (&*id, attempt) {
                    ("v-3", 1) => Err("a first attempt that fails"),
                    ("v-7", 1) => panic!("a first attempt that panics"),
                    _ => Ok(()),
                }
            };
            match work.run(repair).await {
                Ok(Ok(())) => work.finish_cleanup().await,
                _ => work.abandon_cleanup().await,
            }
        });
    }
    Ok(())
}

#[tokio::test]
async fn services_share_the_work_and_each_piece_is_done_once() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let ids: Vec<String> = (0..40).map(|i| format!("v-{i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let dead = crashed(&observer, &unique("host"), &cluster, &ids).await;
    let handled: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let (mut sessions, mut loops) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let session = session_in(&volguard, &cluster).await;
        loops.push(tokio::spawn(serve(session.clone(), Arc::clone(&handled))));
        sessions.push(session);
    }
    const LEFT: &str = "SELECT count(*) FROM volguard.lock_status WHERE cluster = $1";
    observer.until(0, async |o| o.number(LEFT, &[&cluster]).await).await;
    assert_eq!(waiting(&observer, dead).await, 0);
    // Stopped in order, each loop ends well.
    for session in sessions {
        session.stop().await.unwrap();
    }
    for one in loops {
        one.await.unwrap().unwrap();
    }
    let handled = handled.lock().unwrap();
    let attempts = |id: &&str| handled[*id];
    assert!(ids.iter().all(|id| attempts(id) == if ["v-3", "v-7"].contains(id) { 2 } else { 1 }), "{handled:?}");
}

/// Work that can't be repaired comes back, but not in a busy loop.
#[tokio::test]
async fn work_that_is_given_back_comes_last_and_after_a_pause() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    crashed(&observer, &unique("host"), &cluster, &["a", "b"]).await;
    let session = session_in(&volguard, &cluster).await;
    let mut claims = session.claims().every(MOMENT);
    let mut order = Vec::new();
    let began = Instant::now();
    for _ in 0..4 {
        let work = claims.next().await.unwrap().expect("a piece");
        order.push(plain(work.resource_id()).to_owned());
        assert!(work.abandon_cleanup().await.unwrap());
    }
    assert_eq!(order[..2].iter().collect::<HashSet<_>>().len(), 2, "{order:?}");
    assert_eq!(order[..2], order[2..]);
    assert!(began.elapsed() >= MOMENT);
}

#[tokio::test]
async fn a_lost_session_ends_the_claims_and_the_work_under_them() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    crashed(&observer, &unique("host"), &cluster, &["v"]).await;
    let session = session_in(&volguard, &cluster).await;
    let mut claims = session.claims().every(LONG);
    let work = claims.next().await.unwrap().expect("a piece");
    let endless = tokio::spawn(async move { work.run(std::future::pending::<()>()).await });
    let next = tokio::spawn(async move { claims.next().await.map(drop) });
    fence(&observer, &session).await;
    // The server says so to the next call, which may be that of the claims.
    let refused = session.acquire(key("other")).await.unwrap_err();
    assert!(matches!(refused, Error::SessionLost(Loss::Fenced) | Error::ServiceFenced(_)), "{refused}");
    assert_eq!(endless.await.unwrap(), Err(Loss::Fenced));
    let lost = next.await.unwrap().unwrap_err();
    assert!(matches!(lost, Error::SessionLost(Loss::Fenced) | Error::ServiceFenced(_)), "{lost}");
}

/// Before new work is taken up: what the process was doing when it crashed.
#[tokio::test]
async fn a_service_cleans_up_after_its_earlier_incarnation() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let host = unique("host");
    let others = crashed(&observer, &unique("host"), &cluster, &["other"]).await;
    crashed(&observer, &host, &cluster, &["a", "b", "c"]).await;
    let elsewhere = session_in(&volguard, &cluster).await;
    let session = volguard.register(&host, "test").cluster(&cluster).await.unwrap();
    // The work is its own for the time being.
    let mut claims = elsewhere.claims();
    let other = claims.try_next().await.unwrap().expect("the other's work");
    assert_eq!(plain(other.resource_id()), "other");
    assert!(claims.try_next().await.unwrap().is_none());
    drop(other);
    observer.until(1, async |o| waiting(o, others).await).await;
    let mut claims = session.claims();
    let mut order = Vec::new();
    while let Some(work) = claims.try_next().await.unwrap() {
        order.push(plain(work.resource_id()).to_owned());
        assert!(work.finish_cleanup().await.unwrap());
    }
    // Its own comes first.
    assert_eq!(order.last().map(String::as_str), Some("other"));
    order.sort();
    assert_eq!(order, ["a", "b", "c", "other"]);
}

#[tokio::test]
async fn what_was_not_answered_is_repeated_in_the_background() {
    let (proxy, observer, cluster) = (Proxy::start().await, Observer::new().await, unique("cluster"));
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session_in(&volguard, &cluster).await;
    let dead = crashed(&observer, &unique("host"), &cluster, &["v"]).await;
    proxy.inject("abandon_cleanup", Fault::LoseStatement, 1);
    one(&session).await.abandon_cleanup().await.unwrap_err();
    assert!(proxy.struck());
    observer.until(1, async |o| waiting(o, dead).await).await;
    // Whether a finish arrived is unknown; if it did not, the work is done again.
    proxy.inject("finish_cleanup", Fault::LoseStatement, 1);
    one(&session).await.finish_cleanup().await.unwrap_err();
    observer.until(1, async |o| waiting(o, dead).await).await;
    proxy.inject("finish_cleanup", Fault::LoseReply, 1);
    one(&session).await.finish_cleanup().await.unwrap_err();
    assert!(timeout(LONG, session.stop()).await.unwrap().unwrap() == 0);
    assert_eq!(waiting(&observer, dead).await, 0);
}
