//! Work ends with the guard under which it runs.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};
use volguard::{CancellationToken, Error, Held, Loss, Session};

use crate::support::{LEASE, LONG, MOMENT, Observer, Proxy, connect, key, session, unique};

/// Records when it is dropped.
struct Work(Arc<OnceLock<SystemTime>>);

impl Work {
    fn new() -> (Work, Arc<OnceLock<SystemTime>>) {
        let dropped = Arc::new(OnceLock::new());
        (Work(Arc::clone(&dropped)), dropped)
    }

    async fn without_end(self) {
        pending::<()>().await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.set(SystemTime::now()).expect("it is dropped once");
    }
}

async fn short_lived(proxy: &Proxy, cluster: &str) -> Session {
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test").cluster(cluster);
    registration.lease(LEASE).await.unwrap()
}

#[tokio::test]
async fn work_that_ends_in_time_has_its_result() {
    let session = session(&connect().await).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    assert_eq!(lock.run(async { lock.token() }).await, Ok(lock.token()));
    assert_eq!(session.run(async { 7 }).await, Ok(7));
    let both = session.acquire(["2", "3"].map(key)).await.unwrap().unwrap();
    assert_eq!(both.run(async { 8 }).await, Ok(8));
}

/// Every guard drops its work, and does so before the server would give the lock to another session.
#[tokio::test]
async fn work_is_dropped_before_the_lease_ends_on_the_server() {
    // A thread that stands still just then drops it later: that is measured three times.
    let mut late = Vec::new();
    while late.len() < 3 {
        match dropped_before_the_end().await {
            Ok(()) => return,
            Err(time) => late.push(time),
        }
    }
    panic!("dropped so long after the end: {late:?}");
}

/// Or how long after the end of the lease on the server the last work was dropped.
async fn dropped_before_the_end() -> Result<(), Duration> {
    let (proxy, observer, cluster) = (Proxy::start().await, Observer::new().await, unique("cluster"));
    let session = short_lived(&proxy, &cluster).await;
    let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
    let both = session.acquire(["2", "3"].map(key)).wait(LONG).await.unwrap().unwrap();
    let works = [Work::new(), Work::new(), Work::new()];
    let dropped = works.each_ref().map(|(_, dropped)| Arc::clone(dropped));
    let [first, second, third] = works.map(|(work, _)| work);
    let tokens = [session.cancellation_token(), lock.cancellation_token()];
    proxy.freeze_all();
    let all = async {
        tokio::join!(lock.run(first.without_end()), both.run(second.without_end()), session.run(third.without_end()))
    };
    let losses = timeout(LONG, all).await.unwrap();
    let end = observer.end_of_lease(session.service_id()).await;
    let ran_out = Err(Loss::LeaseRanOut);
    assert_eq!(losses, (ran_out, ran_out, ran_out));
    for token in tokens {
        timeout(LONG, token.cancelled()).await.unwrap();
    }
    let last = dropped.iter().map(|dropped| *dropped.get().expect("dropped")).max().expect("three");
    last.duration_since(end).map_or(Ok(()), Err)
}

/// A token that the server has taken away ends the work of that lock alone.
#[tokio::test]
async fn work_ends_with_its_own_lock() {
    let (observer, session) = (Observer::new().await, session(&connect().await).await);
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let other = session.acquire(key("2")).await.unwrap().unwrap();
    let token = lock.token();
    observer.run(&format!("SELECT volguard.force_release({token}, 'a test')")).await;
    let (work, dropped) = Work::new();
    let (told, not_told) = (lock.cancellation_token(), other.cancellation_token());
    let ask = async { lock.assert_held().await.unwrap_err() };
    let (loss, refused) = tokio::join!(lock.run(work.without_end()), ask);
    assert!(matches!(refused, Error::TokenNotHeld(_)), "{refused}");
    assert_eq!(loss, Err(Loss::TokenNotHeld));
    assert!(dropped.get().is_some() && told.is_cancelled() && !not_told.is_cancelled());
    assert_eq!(other.run(async {}).await, Ok(()));
}

#[tokio::test]
async fn a_locks_cancellation_token_is_cancelled_before_its_release() {
    let session = session(&connect().await).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let told = lock.cancellation_token();
    assert!(lock.release().await.unwrap() && told.is_cancelled());
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let told = lock.cancellation_token();
    assert!(!told.is_cancelled());
    drop(lock);
    assert!(told.is_cancelled() && !session.cancellation_token().is_cancelled());
}

/// The work takes a moment to end, like work in the middle of a step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_gives_no_lock_away_before_the_work_under_it_has_ended() {
    struct Slow(Arc<AtomicU32>, tokio::runtime::Handle, Arc<Observer>, i64);
    impl Drop for Slow {
        fn drop(&mut self) {
            let Slow(held, runtime, observer, service_id) = self;
            std::thread::sleep(MOMENT);
            let look = tokio::task::block_in_place(|| runtime.block_on(observer.locks_of_service(*service_id)));
            held.store(u32::try_from(look).unwrap(), Ordering::SeqCst);
        }
    }
    let session = session(&connect().await).await;
    let observer = Arc::new(Observer::new().await);
    let held = Arc::new(AtomicU32::new(7));
    let runtime = tokio::runtime::Handle::current();
    let slow = Slow(Arc::clone(&held), runtime, Arc::clone(&observer), session.service_id());
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let work = tokio::spawn(async move {
        let work = async {
            let _slow = slow;
            begun.send(()).unwrap();
            pending::<()>().await;
        };
        (lock.run(work).await, lock)
    });
    has_begun.await.unwrap();
    let service_id = session.service_id();
    session.stop().await.unwrap();
    let (loss, lock) = timeout(LONG, work).await.unwrap().unwrap();
    assert_eq!(loss, Err(Loss::Stopped));
    assert_eq!(held.load(Ordering::SeqCst), 1, "held while the work ended");
    assert_eq!(observer.locks_of_service(service_id).await, 0);
    drop(lock);
}

/// The thread is blocked beyond the lease, and with it every timer; then the work would continue.
#[tokio::test]
async fn no_step_begins_after_the_loss_however_late_the_timers_are() {
    let session = short_lived(&Proxy::start().await, &unique("cluster")).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let steps = AtomicU32::new(0);
    let work = async {
        steps.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(LEASE);
        // Ready at once, and polled again before any timer.
        tokio::task::yield_now().await;
        steps.fetch_add(1, Ordering::SeqCst);
    };
    assert_eq!(lock.run(work).await, Err(Loss::LeaseRanOut));
    assert_eq!(steps.load(Ordering::SeqCst), 1);
}

/// A result means that the lock was held all the time.
#[tokio::test]
async fn a_result_that_came_too_late_is_none() {
    let session = short_lived(&Proxy::start().await, &unique("cluster")).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    assert_eq!(lock.run(async { std::thread::sleep(LEASE) }).await, Err(Loss::LeaseRanOut));
}

/// The answer describes the past, and comes when the session is lost already.
#[tokio::test]
async fn an_assertion_that_is_answered_too_late_is_none() {
    let (proxy, cluster) = (Proxy::start().await, unique("cluster"));
    let session = short_lived(&proxy, &cluster).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    proxy.delay_replies(LEASE);
    let answer = timeout(LONG, lock.assert_held()).await.unwrap();
    assert!(matches!(answer, Err(Error::SessionLost(Loss::LeaseRanOut))), "{answer:?}");
}

/// The runtime's only thread is busy, and no task checks the clock.
#[tokio::test]
async fn a_cancellation_token_needs_no_runtime() {
    let session = short_lived(&Proxy::start().await, &unique("cluster")).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let tokens = [session.cancellation_token(), lock.cancellation_token()];
    let blocked = Instant::now();
    std::thread::sleep(LEASE);
    // The thread that cancels them may be late.
    while !tokens.iter().all(CancellationToken::is_cancelled) {
        assert!(blocked.elapsed() < LONG, "not cancelled");
        std::thread::sleep(MOMENT / 10);
    }
    assert!(lock.loss().is_some() && session.loss().is_some());
    lock.run(async { unreachable!() as () }).await.unwrap_err();
}

/// A clone outlives the guard: what runs under it must not go on when others can get the lock.
#[tokio::test]
async fn work_under_a_clone_ends_with_the_release() {
    let session = session(&connect().await).await;
    for dropped in [false, true] {
        let lock = session.acquire(key("1")).wait(LONG).await.unwrap().unwrap();
        let held = Held::clone(&lock);
        let (work, ended) = Work::new();
        let running = tokio::spawn({
            let held = held.clone();
            async move { held.run(work.without_end()).await }
        });
        assert!(timeout(MOMENT, held.lost()).await.is_err());
        match dropped {
            false => assert!(lock.release().await.unwrap()),
            true => drop(lock),
        }
        timeout(LONG / 4, running).await.expect("it ends").unwrap().unwrap_err();
        assert_eq!(held.loss(), Some(Loss::Released));
        assert!(ended.get().is_some());
        assert!(held.loss().is_some());
        timeout(LONG / 4, held.lost()).await.expect("it is lost");
        held.run(async { unreachable!() as () }).await.unwrap_err();
    }
}
