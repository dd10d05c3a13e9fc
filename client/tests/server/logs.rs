//! What a session logs: what is wrong is said once, not at every try.

use std::time::Duration;

use tokio::time::timeout;
use tracing::Level;
use volguard::Loss;

use crate::support::{Fault, LEASE, LONG, Log, Observer, Proxy, unique};

#[tokio::test]
async fn a_session_whose_server_is_away_warns_once() {
    let (log, proxy) = (Log::listen(), Proxy::start().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let mut incarnations = registration.janitor(Duration::from_millis(100)).incarnations();
    let session = incarnations.next().await.unwrap().unwrap();
    assert!(log.lines().is_empty(), "{:?}", log.lines());
    // Its heartbeat fails many times until then.
    proxy.inject("volguard.heartbeat(", Fault::LoseStatement, 1);
    proxy.refuse(true);
    assert_eq!(timeout(LONG, session.lost()).await.unwrap(), Loss::LeaseRanOut);
    assert_eq!(log.count(Level::WARN, "heartbeat failed"), 1, "{:?}", log.lines());
    // The loss is told, and that no other session can be had.
    let next = incarnations.next();
    assert!(timeout(LEASE / 2, next).await.is_err());
    assert_eq!(log.count(Level::ERROR, "the session is lost"), 1, "{:?}", log.lines());
    assert_eq!(log.count(Level::WARN, "not registered yet"), 1, "{:?}", log.lines());
    assert_eq!(log.count(Level::WARN, "the janitor"), 1, "{:?}", log.lines());
    assert_eq!(log.lines().len(), 4, "{:?}", log.lines());
}

/// And again when it is away for the next time.
#[tokio::test]
async fn each_absence_is_told() {
    let (log, proxy, observer) = (Log::listen(), Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").lease(LEASE).janitor(None);
    let session = registration.await.unwrap();
    for absence in 1..=2 {
        let end = session.lost_at();
        proxy.inject("volguard.heartbeat(", Fault::LoseStatement, 5);
        observer.until(1, async |_| i64::from(session.lost_at() > end)).await;
        assert!(proxy.struck());
        assert_eq!(log.count(Level::WARN, "heartbeat failed"), absence, "{:?}", log.lines());
    }
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    session.stop().await.unwrap();
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
}
