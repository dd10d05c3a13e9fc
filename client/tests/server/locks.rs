//! Keeping, losing and freeing what a guard holds.

use tokio::time::timeout;
use uuid::Uuid;
use volguard::{Error, Lock, Loss, Session, UpdateOutcome, Volguard};

use crate::support::{LONG, MOMENT, Observer, connect, key, own, plain, session, session_in, unique};

async fn two_sessions() -> (Session, Session) {
    let (volguard, cluster) = (connect().await, unique("cluster"));
    (session_in(&volguard, &cluster).await, session_in(&volguard, &cluster).await)
}

async fn take(session: &Session, id: &str) -> Lock {
    session.acquire(key(id)).wait(LONG).await.unwrap().unwrap()
}

/// One guard of three locks.
async fn take_several(session: &Session) -> Lock {
    session.acquire(["1", "2", "3"].map(key)).wait(LONG).await.unwrap().unwrap()
}

async fn force_release(volguard: &Volguard, token: i64) -> bool {
    let connection = volguard.connection().await.unwrap();
    let row = connection.query_typed(&format!("SELECT volguard.force_release({token}, 'test')"), &[]).await.unwrap();
    row[0].get(0)
}

#[tokio::test]
async fn a_lock_knows_what_it_is() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let id = Uuid::new_v4();
    let lock = session.acquire(key("1").lock_name("data").status("extending")).request_id(id).await.unwrap().unwrap();
    assert_eq!((lock.resource_type(), plain(lock.resource_id()), lock.lock_name()), ("volume", "1", "data"));
    assert_eq!(lock.request_id(), id);
    let shown = async |status: &str| {
        let sql = "SELECT count(*) FROM volguard.lock_status \
                   WHERE token = $1 AND request_id = $2 AND coalesce(status, '') = $3";
        observer.number(sql, &[&lock.token(), &id, &status]).await
    };
    assert_eq!(shown("extending").await, 1);
    lock.set_status(Some("resizing")).await.unwrap();
    assert_eq!(shown("resizing").await, 1);
    lock.set_status(None).await.unwrap();
    assert_eq!(shown("").await, 1);
}

#[tokio::test]
async fn a_lock_taken_away_is_lost_once_the_server_says_so() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let lock = take(&session, "1").await;
    lock.assert_held().await.unwrap();
    assert!(force_release(&volguard, lock.token()).await);
    assert!(!force_release(&volguard, lock.token()).await);
    let refused = lock.assert_held().await.unwrap_err();
    assert!(matches!(refused, Error::TokenNotHeld(_)), "{refused}");
    assert!(lock.loss().is_some() && session.loss().is_none());
    assert_eq!(lock.lost().await, Loss::TokenNotHeld);
    let refused = lock.set_status(Some("x")).await.unwrap_err();
    assert!(matches!(refused, Error::TokenNotHeld(_)), "{refused}");
    assert!(!lock.release().await.unwrap());
    assert!(session.acquire(key("1")).await.unwrap().is_some());
}

#[tokio::test]
async fn one_of_several_that_is_taken_away_loses_them_all() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let all = take_several(&session).await;
    assert!(timeout(MOMENT, all.lost()).await.is_err());
    assert!(force_release(&volguard, all.tokens()[1]).await);
    let held = (*all).clone();
    let (loss, noticed) = tokio::join!(held.lost(), all.assert_held());
    assert_eq!(loss, Loss::TokenNotHeld);
    assert!(matches!(noticed, Err(Error::TokenNotHeld(_))), "{noticed:?}");
    assert!(all.loss().is_some() && held.loss().is_some());
    // The rest is still held on the server, and released with it.
    assert!(session.acquire(key("3")).await.unwrap().is_none());
    assert!(!all.release().await.unwrap());
    assert!(take_several(&session).await.release().await.unwrap());

    let all = take_several(&session).await;
    let (loss, left) = tokio::join!(all.lost(), session.clone().stop());
    assert_eq!((loss, left.unwrap()), (Loss::Stopped, 0));
}

/// The first lock fences an update, whatever becomes of the others; a transaction asserts them all.
#[tokio::test]
async fn several_fence_by_the_first_or_all() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    let all = take_several(&session).await;
    let table = unique("things").replace('-', "_");
    Observer::new().await.run(&format!("CREATE TABLE {table} (id int PRIMARY KEY)")).await;
    let update = volguard.update(&table).key("id", 1).set("id", 1).fenced_by(&all);
    assert!(force_release(&volguard, all.tokens()[2]).await);
    assert_eq!(update.clone().await.unwrap(), UpdateOutcome::NotFound);
    let mut connection = volguard.connection().await.unwrap();
    let transaction = connection.transaction().await.unwrap();
    let refused = all.assert_held_in(&transaction).await.unwrap_err();
    assert!(matches!(refused, Error::TokenNotHeld(_)), "{refused}");
    transaction.rollback().await.unwrap();
    assert!(force_release(&volguard, all.token()).await);
    assert_eq!(update.await.unwrap(), UpdateOutcome::Fenced);
}

#[tokio::test]
async fn a_transaction_that_asserts_the_lock_outlasts_its_release() {
    let volguard = connect().await;
    let session = session(&volguard).await;
    for lock in [take(&session, "0").await, take_several(&session).await] {
        let mut connection = volguard.connection().await.unwrap();
        let transaction = connection.transaction().await.unwrap();
        lock.assert_held_in(&transaction).await.unwrap();
        let mut release = tokio::spawn(lock.release());
        assert!(timeout(MOMENT, &mut release).await.is_err());
        transaction.commit().await.unwrap();
        assert!(timeout(LONG, release).await.unwrap().unwrap().unwrap());
    }
}

#[tokio::test]
async fn a_dropped_guard_is_released() {
    let (one, two) = two_sessions().await;
    drop(take(&one, "1").await);
    drop(take(&two, "1").await);
    // Within one process, the queue leads from the dropped guard to the next task.
    drop(take_several(&two).await);
    assert!(take_several(&one).await.release().await.unwrap());
}

#[tokio::test]
async fn a_guard_can_be_dropped_outside_a_runtime() {
    let (one, two) = two_sessions().await;
    let lock = take(&one, "1").await;
    std::thread::spawn(move || drop(lock)).join().unwrap();
    take(&two, "1").await.release().await.unwrap();
}

#[test]
fn a_guard_can_outlive_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lock = runtime.block_on(async { take(&session(&connect().await).await, "1").await });
    drop(runtime);
    drop(lock);
}

#[tokio::test]
async fn many_locks_go_in_one_release() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let mut locks = vec![take_several(&session).await];
    for id in 10..20 {
        locks.push(take(&session, &id.to_string()).await);
    }
    assert_eq!(session.release_all(locks).await.unwrap(), 13);
    assert_eq!(observer.locks_of(&session).await, 0);
    assert!(session.acquire(key("3")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_thousand_dropped_guards_go_too() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let mut locks = Vec::new();
    for id in 0..1000 {
        locks.push(take(&session, &id.to_string()).await);
    }
    drop(locks);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}

#[tokio::test]
async fn an_administrator_can_forget_a_resource() {
    let (session, observer) = (session(&connect().await).await, Observer::new().await);
    let _plain = take(&session, "1").await;
    let _work = session.acquire(key("1").lock_name("w").status("s")).await.unwrap().unwrap();
    for expected in [2, 0] {
        let removed = observer.number("SELECT volguard.reset_resource('volume', $1)", &[&own("1")]).await;
        assert_eq!(removed, expected);
    }
}
