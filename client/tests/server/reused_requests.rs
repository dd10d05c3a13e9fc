//! Request ids that are used again, while what an earlier request with the id has left is not settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::support::{
    Fault, LONG, MOMENT, Observer, Proxy, behind_a_proxy, connect, key, named, session, session_in, unique,
};

#[tokio::test]
async fn a_lock_of_another_key_is_not_settled_with_a_dropped_request_of_its_id() {
    let (cluster, id) = (unique("cluster"), Uuid::new_v4());
    let elsewhere = session_in(&connect().await, &cluster).await;
    let session = session_in(&named(&unique("app")).connect().await.unwrap(), &cluster).await;
    let held = elsewhere.acquire(key("1")).await.unwrap().unwrap();
    let dropped = session.acquire(key("1")).request_id(id).wait(LONG);
    timeout(MOMENT, dropped.into_future()).await.unwrap_err();
    let lock = session.acquire(key("2")).request_id(id).await.unwrap().unwrap();
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap());
    drop(held);
}

#[tokio::test]
async fn a_lock_of_another_key_is_not_settled_with_a_lost_answer_of_its_id() {
    let ((proxy, _volguard, session), id) = (behind_a_proxy().await, Uuid::new_v4());
    proxy.inject("volguard.acquire", Fault::LoseReply, 2);
    session.acquire(key("1")).request_id(id).await.unwrap_err();
    let lock = session.acquire(key("2")).request_id(id).wait(LONG).await.unwrap().unwrap();
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap());
}

#[tokio::test]
async fn two_requests_of_one_id_at_once_hold_what_they_were_given() {
    let (session, id, observer) = (session(&connect().await).await, Uuid::new_v4(), Observer::new().await);
    let one = session.acquire(key("1")).request_id(id).wait(LONG);
    let two = session.acquire(key("1")).request_id(id).wait(LONG);
    let (one, two) = tokio::join!(one.into_future(), async { timeout(MOMENT, two.into_future()).await });
    let lock = one.unwrap().unwrap();
    assert!(two.is_err(), "a second holder");
    sleep(MOMENT * 3).await;
    lock.assert_held().await.unwrap();
    assert_eq!(observer.locks_of(&session).await, 1);
    assert!(lock.release().await.unwrap());
}

/// The first try to settle it fails, and from then on tasks of this process want the key all the time.
#[tokio::test]
async fn what_a_lost_answer_has_left_does_not_stay_because_the_key_is_wanted() {
    let (proxy, _volguard, session) = behind_a_proxy().await;
    proxy.inject("volguard.acquire", Fault::LoseReply, 1);
    proxy.refuse(true);
    session.acquire(key("1")).wait(MOMENT).await.unwrap_err();
    let waiting = tokio::spawn(session.acquire(key("1")).wait(LONG * 3).into_future());
    sleep(MOMENT).await;
    proxy.refuse(false);
    // While nothing can be connected to, the waiter fails; then it asks again.
    let first = timeout(LONG, waiting).await.expect("it is served").unwrap();
    let lock = match first {
        Ok(lock) => lock,
        Err(_) => timeout(LONG, session.acquire(key("1")).wait(LONG * 3)).await.expect("it is served").unwrap(),
    };
    assert!(lock.unwrap().release().await.unwrap());
}

/// The settlement's own statement goes on at the server, behind a transaction, after its connection has broken.
#[tokio::test]
async fn a_late_settlement_takes_no_lock_that_was_given_since() {
    let (proxy, observer, id) = (Proxy::start().await, Observer::new().await, Uuid::new_v4());
    let volguard = proxy.builder().time_limit(Duration::from_secs(5)).connect().await.unwrap();
    let session = session(&volguard).await;
    proxy.inject("volguard.acquire", Fault::LoseReply, 1);
    proxy.refuse(true);
    session.acquire(key("1")).request_id(id).wait(MOMENT).await.unwrap_err();
    // It is granted, and nothing can be settled yet.
    let token = "SELECT token FROM volguard.lock_status WHERE service_id = $1";
    let token = observer.number(token, &[&session.service_id()]).await;
    observer.run(&format!("BEGIN; SELECT volguard.assert_held({token})")).await;
    proxy.inject("release_requests", Fault::CutWhileRunning, 1);
    proxy.refuse(false);
    let (late, running) = (
        Observer::new().await,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE '%release_requests%' AND query LIKE '%service_id => $1%'",
    );
    late.until(1, async |o| if proxy.struck() { o.number(running, &[]).await.min(1) } else { 0 }).await;
    // The server would still give the lock of that id, and take it away with the end of the transaction.
    for _ in 0..5 {
        assert!(session.acquire(key("1")).request_id(id).await.unwrap().is_none());
        sleep(MOMENT / 3).await;
    }
    let again = tokio::spawn(session.acquire(key("1")).request_id(id).wait(LONG * 2).into_future());
    observer.run("COMMIT").await;
    let lock = timeout(LONG * 2, again).await.unwrap().unwrap().unwrap().expect("it is given in the end");
    assert!(lock.token() > token);
    sleep(MOMENT).await;
    lock.assert_held().await.unwrap();
    assert!(lock.release().await.unwrap());
}

/// Tasks that share a few keys and a few ids, drop futures and lose answers: what one holds stays held until it
/// releases it, by one at a time, and nothing stays in the end.
#[tokio::test]
async fn whatever_is_dropped_lost_and_repeated_a_held_lock_stays_held() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().time_limit(Duration::from_secs(5)).connect().await.unwrap();
    let session = session(&volguard).await;
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
    let inside: Arc<[AtomicUsize; 3]> = Arc::default();
    let held = Arc::new(AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(8);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (session, ids, inside, held) = (session.clone(), ids.clone(), Arc::clone(&inside), Arc::clone(&held));
        let keys = ["0", "1", "2"].map(key);
        tasks.spawn(async move {
            while Instant::now() < end {
                let first = fastrand::usize(..3);
                let several = fastrand::bool().then_some((first + 1) % 3);
                let wanted: Vec<usize> = std::iter::once(first).chain(several).collect();
                let request = session.acquire(wanted.iter().map(|index| keys[*index].clone()).collect::<Vec<_>>());
                let request = match fastrand::bool() {
                    true => request.request_id(ids[fastrand::usize(..4)]),
                    false => request,
                };
                let patience = Duration::from_micros(fastrand::u64(..200_000));
                let answer = timeout(patience, request.wait(Duration::from_millis(fastrand::u64(..150)))).await;
                let Ok(Ok(Some(lock))) = answer else { continue };
                assert!(wanted.iter().all(|index| inside[*index].fetch_add(1, Ordering::SeqCst) == 0));
                held.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(fastrand::u64(..40))).await;
                match lock.assert_held().await {
                    Err(error) if !error.is_retryable() => panic!("{error}"),
                    _ => {}
                }
                wanted.iter().for_each(|index| _ = inside[*index].fetch_sub(1, Ordering::SeqCst));
                match lock.release().await {
                    Ok(all) => assert!(all),
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
            }
        });
    }
    while Instant::now() < end {
        let fault = [Fault::LoseReply, Fault::LoseStatement, Fault::CutWhileRunning][fastrand::usize(..3)];
        proxy.inject(["volguard.acquire", "release_requests"][fastrand::usize(..2)], fault, 1 + fastrand::usize(..3));
        sleep(Duration::from_millis(100)).await;
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert!(held.load(Ordering::SeqCst) > 0, "{held:?}");
    let deadline = Instant::now() + LONG * 4;
    while observer.locks_of(&session).await > 0 {
        assert!(Instant::now() < deadline, "a lock stayed");
        sleep(MOMENT).await;
    }
}
