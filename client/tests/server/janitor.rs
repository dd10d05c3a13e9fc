//! Live sessions clean up after dead services.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use volguard::{Janitor, Session, Volguard};

use crate::support::{Fault, LONG, Observer, Proxy, connect, key, named, unique};

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

/// What a janitor has reported: service ids, or words.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Result<i64, String>>>>);

impl Reports {
    fn janitor(&self) -> Janitor {
        let reports = self.clone();
        Janitor::every(Duration::from_millis(100)).report_to(move |cleaned| {
            let mut reports = reports.0.lock().unwrap();
            match cleaned {
                Ok(services) => reports.extend(services.iter().map(|s| Ok(s.service_id))),
                Err(error) => reports.push(Err(error.to_string())),
            }
        })
    }

    fn services(&self) -> Vec<i64> {
        let reports = self.0.lock().unwrap();
        reports.iter().filter_map(|r| r.as_ref().ok()).copied().collect()
    }

    fn errors(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|r| r.is_err()).count()
    }
}

async fn session(volguard: &Volguard, cluster: &str, janitor: impl Into<Option<Janitor>>) -> Session {
    volguard.register(&unique("host"), "test").cluster(cluster).janitor(janitor).await.expect("a session")
}

#[tokio::test]
async fn the_dead_of_its_cluster_are_cleaned_up() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let (cluster, elsewhere, reports) = (unique("cluster"), unique("cluster"), Reports::default());
    let session = session(&volguard, &cluster, reports.janitor()).await;
    let other = doomed(&observer, &elsewhere).await;
    let dead = doomed(&observer, &cluster).await;
    until_cleaned(&observer, dead).await;
    // Once more, for the next.
    let next = doomed(&observer, &cluster).await;
    until_cleaned(&observer, next).await;
    session.stop().await.unwrap();
    assert_eq!(reports.services(), [dead, next]);
    assert_eq!(
        observer.number("SELECT held_locks FROM volguard.service_status WHERE service_id = $1", &[&other]).await,
        1
    );
    assert_eq!(reports.errors(), 0);
}

/// They take turns, and go on when one of them ends, in whatever way.
#[tokio::test]
async fn of_several_sessions_one_cleans_up_after_each_crash() {
    let (volguard, observer, cluster) = (connect().await, Observer::new().await, unique("cluster"));
    let reports: [Reports; 3] = Default::default();
    let mut sessions = Vec::new();
    for reports in &reports {
        sessions.push(session(&volguard, &cluster, reports.janitor()).await);
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
    let told = async |_: &Observer| reports.iter().map(|reports| reports.services().len()).sum::<usize>() as i64;
    // Reported right after the commit that was seen.
    observer.until(9, told).await;
    let mut cleaned = reports.each_ref().map(Reports::services).concat();
    cleaned.sort_unstable();
    assert_eq!(cleaned, crashed);
    assert!(!reports[0].services().is_empty(), "the last one was alone");
}

/// All connections that may wait do wait; the one that is left is for releases.
#[tokio::test]
async fn a_pool_full_of_waiters_does_not_keep_it_from_its_work() {
    let name = unique("full");
    let (volguard, observer) = (named(&name).pool_size(2).connect().await.unwrap(), Observer::new().await);
    let (cluster, reports) = (unique("cluster"), Reports::default());
    let holder = session(&connect().await, &cluster, None).await;
    let lock = holder.acquire(key("v")).await.unwrap().expect("free");
    let session = session(&volguard, &cluster, reports.janitor()).await;
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
    assert_eq!(reports.services(), [dead]);
}

/// A call that fails is reported, and the next one does the work.
#[tokio::test]
async fn errors_are_reported_and_the_next_look_goes_on() {
    let (observer, cluster, reports) = (Observer::new().await, unique("cluster"), Reports::default());
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session(&volguard, &cluster, reports.janitor()).await;
    proxy.inject("volguard.auto_cleanup", Fault::LoseStatement, 2);
    observer.until(2, async |_| reports.errors() as i64).await;
    let dead = doomed(&observer, &cluster).await;
    until_cleaned(&observer, dead).await;
    observer.until(1, async |_| reports.services().len() as i64).await;
    assert!(!session.is_lost());
    session.stop().await.unwrap();
}
