//! Runtimes that end, panics, and guards that outlive both.

use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};
use volguard::{Lock, Session};

use crate::support::{LEASE, LONG, MOMENT, Observer, connect, key, named, session, unique};

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A session whose runtime has ended, with a lock and a request under way.
fn left_over() -> (Session, Lock, i64) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (session, lock) = runtime.block_on(async {
        let session = session(&named(&unique("app")).connect().await.unwrap()).await;
        let lock = session.acquire(key("1")).await.unwrap().unwrap();
        tokio::spawn(session.acquire(key("1")).wait(LONG).into_future());
        tokio::spawn(session.acquire(key("2")).wait(LONG).into_future());
        (session, lock)
    });
    let service_id = session.service_id();
    runtime.shutdown_timeout(LONG);
    (session, lock, service_id)
}

#[test]
fn guards_may_outlive_their_runtime() {
    let (session, lock, _) = left_over();
    let held = volguard::Held::clone(&lock);
    drop(lock);
    assert!(held.loss().is_some());
    drop((held, session));
}

/// Its pool opens connections in the runtime that asks.
#[test]
fn another_runtime_may_release_and_stop() {
    let (session, lock, service_id) = left_over();
    let runtime = one_thread();
    runtime.block_on(async {
        assert!(timeout(LONG, lock.release()).await.unwrap().unwrap());
        timeout(LONG, session.stop()).await.unwrap().unwrap();
        let observer = Observer::new().await;
        assert_eq!(observer.locks_of_service(service_id).await, 0);
        assert_eq!(observer.up(service_id).await, 0);
    });
}

#[tokio::test]
async fn a_panic_under_a_lock_releases_it() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let work = {
        let session = session.clone();
        tokio::spawn(async move {
            session.with_lock(key("1"), LONG, |_| async { panic!("as told") }).await.map(|_: Option<()>| ())
        })
    };
    assert!(work.await.unwrap_err().is_panic());
    observer.until(0, async |o| o.locks_of(&session).await).await;
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
    let run = {
        let held = volguard::Held::clone(&lock);
        tokio::spawn(async move { held.run(async { panic!("as told") }).await.map(|_: ()| ()) })
    };
    assert!(run.await.unwrap_err().is_panic());
    assert!(lock.release().await.unwrap());
    timeout(LONG / 4, session.stop()).await.expect("nothing runs any more").unwrap();
}

/// Sessions of a process share one thread that watches their clocks.
#[tokio::test]
async fn sessions_end_in_any_order() {
    let volguard = connect().await;
    let mut sessions = Vec::new();
    for _ in 0..12 {
        sessions.push(volguard.register(&unique("host"), "test").lease(LEASE).janitor(None).await.unwrap());
    }
    for index in [5, 0, 9, 3] {
        drop(sessions.remove(index));
    }
    let last = sessions.pop().unwrap();
    let token = last.cancellation_token();
    let end = tokio::time::Instant::now() + LEASE;
    for session in sessions.drain(..4) {
        session.stop().await.unwrap();
    }
    while tokio::time::Instant::now() < end {
        assert!(last.loss().is_none() && sessions.iter().all(|session| session.loss().is_none()));
        sleep(MOMENT / 3).await;
    }
    drop(sessions);
    last.stop().await.unwrap();
    assert!(token.is_cancelled());
}
