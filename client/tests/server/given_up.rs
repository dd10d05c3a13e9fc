//! Calls that are given up, by their caller or by the time limit, leave no statement running and no broken connection.

mod blocked;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use volguard::{Builder, Cleanup, Error, UpdateOutcome, Volguard};

use crate::support::{LONG, MOMENT, Observer, key, named_direct, session, unique};

/// A table of volumes of the test. One of its rows, 0, is locked by another transaction.
struct Locked {
    observer: Observer,
    name: String,
    table: String,
    transaction: Client,
}

impl Locked {
    async fn set() -> Locked {
        let (observer, table) = (Observer::new().await, unique("volumes").replace('-', "_"));
        let create = format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, size int NOT NULL DEFAULT 0); \
             INSERT INTO {table} SELECT generate_series(0, 20)"
        );
        observer.run(&create).await;
        let (transaction, connection) = crate::support::direct().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let lock = format!("BEGIN; SELECT FROM {table} WHERE id = 0 FOR UPDATE");
        transaction.batch_execute(&lock).await.unwrap();
        Locked { observer, name: unique("app"), table, transaction }
    }

    /// Cancel requests don't get through a pooler.
    fn client(&self) -> Builder {
        named_direct(&self.name)
    }

    async fn grow(&self, volguard: &Volguard, id: i32) -> Result<UpdateOutcome, Error> {
        grow(volguard, &self.table, id).await
    }

    async fn running(&self, text: &str) -> i64 {
        self.observer.running(&self.name, text).await
    }

    async fn nothing_runs(&self) {
        self.observer.until(0, async |_| self.running("").await).await;
    }

    /// Unlocks the row. Returns how many updates of it have been applied, or are then.
    async fn unlock(&self) -> i64 {
        self.transaction.batch_execute("COMMIT").await.unwrap();
        sleep(MOMENT).await;
        self.observer.number(&format!("SELECT size::bigint FROM {} WHERE id = 0", self.table), &[]).await
    }
}

async fn grow(volguard: &Volguard, table: &str, id: i32) -> Result<UpdateOutcome, Error> {
    let update = volguard.update(table).key("id", id);
    update.set("size", volguard::update::column("size") + 1).await
}

/// All connections of the pool work.
async fn is_sound(volguard: &Volguard, pool_size: usize) {
    let mut all = Vec::new();
    for _ in 0..pool_size {
        all.push(volguard.connection().await.unwrap());
    }
    for connection in all {
        let answer = timeout(LONG / 4, connection.query_typed("SELECT 1", &[])).await;
        assert_eq!(answer.expect("it answers").unwrap()[0].get::<_, i32>(0), 1);
    }
}

/// More callers give up than the pool has connections, again and again, for as long as the row is locked.
#[tokio::test]
async fn callers_that_give_up_take_no_connection_from_the_others() {
    let locked = Locked::set().await;
    let volguard = locked.client().pool_size(8).connect().await.unwrap();
    let session = session(&volguard).await;
    let lock = session.acquire(key("1")).await.unwrap().unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let (given_up, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..6 {
        let (volguard, table, end) = (volguard.clone(), locked.table.clone(), Arc::clone(&end));
        let given_up = Arc::clone(&given_up);
        callers.spawn(async move {
            while !end.load(Ordering::SeqCst) {
                timeout(Duration::from_millis(200), grow(&volguard, &table, 0)).await.unwrap_err();
                given_up.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for id in 1..=10 {
        let (volguard, table, end) = (volguard.clone(), locked.table.clone(), Arc::clone(&end));
        let done = Arc::clone(&done);
        callers.spawn(async move {
            while !end.load(Ordering::SeqCst) {
                let outcome = timeout(LONG / 4, grow(&volguard, &table, id)).await.expect("in time").unwrap();
                assert!(outcome.is_updated());
                done.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let enough = || given_up.load(Ordering::SeqCst) > 100 && done.load(Ordering::SeqCst) > 100;
    locked.observer.until(1, async |_| i64::from(enough())).await;
    assert!(timeout(LONG / 4, lock.release()).await.expect("in time").unwrap());
    end.store(true, Ordering::SeqCst);
    callers.join_all().await;
    locked.nothing_runs().await;
    assert_eq!(locked.unlock().await, 0);
    assert!(locked.grow(&volguard, 0).await.unwrap().is_updated());
    is_sound(&volguard, 8).await;
}

#[tokio::test]
async fn a_call_ends_at_its_time_limit_on_the_server_too() {
    let locked = Locked::set().await;
    let limit = Duration::from_secs(5);
    let volguard = locked.client().time_limit(limit).connect().await.unwrap();
    let began = Instant::now();
    let late = timeout(LONG, locked.grow(&volguard, 0)).await.unwrap().unwrap_err();
    assert!(matches!(late, Error::NoReply) && late.is_retryable(), "{late}");
    assert!((limit..LONG / 2).contains(&began.elapsed()));
    locked.nothing_runs().await;
    assert_eq!(locked.unlock().await, 0);
    assert!(locked.grow(&volguard, 0).await.unwrap().is_updated());
}

/// The time that an acquire is told to wait comes on top.
#[tokio::test]
async fn a_wait_is_no_part_of_the_time_limit() {
    let limit = Duration::from_secs(5);
    let volguard = named_direct(&unique("app")).time_limit(limit).connect().await.unwrap();
    let (one, two) = (session(&volguard).await, session(&volguard).await);
    let held = one.acquire(key("1")).await.unwrap().unwrap();
    let waiter = tokio::spawn(two.acquire(key("1")).wait(LONG).into_future());
    sleep(limit + MOMENT * 2).await;
    held.release().await.unwrap();
    assert!(waiter.await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_told_in_time() {
    let volguard =
        named_direct(&unique("app")).pool_size(2).time_limit(Duration::from_secs(5)).connect().await.unwrap();
    let all = [volguard.connection().await.unwrap(), volguard.connection().await.unwrap()];
    let refused = timeout(LONG / 4, volguard.cleanup(&Cleanup::default())).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::PoolExhausted) && refused.is_retryable(), "{refused}");
    drop(all);
    is_sound(&volguard, 2).await;
}

/// A statement that the caller has sent by the driver, and has given up.
#[tokio::test]
async fn a_statement_that_was_left_running_ends_with_its_connection() {
    let locked = Locked::set().await;
    let volguard = locked.client().pool_size(2).connect().await.unwrap();
    let wait = format!("UPDATE {} SET size = 100 WHERE id = 0", locked.table);
    for _ in 0..3 {
        let connection = volguard.connection().await.unwrap();
        timeout(MOMENT, connection.batch_execute(&wait)).await.unwrap_err();
        drop(connection);
        is_sound(&volguard, 2).await;
    }
    locked.nothing_runs().await;
    assert_eq!(locked.unlock().await, 0);
    // A transaction that is dropped is rolled back, and its connection used again, but for one that a busy server takes
    // more than a second to clean.
    let pid = async |client: &Client| client.query_typed("SELECT pg_backend_pid()", &[]).await.unwrap()[0].get(0);
    let mut pids: Vec<i32> = Vec::new();
    for _ in 0..10 {
        let mut connection = volguard.connection().await.unwrap();
        pids.push(pid(&connection).await);
        let transaction = connection.transaction().await.unwrap();
        transaction.batch_execute(&wait).await.unwrap();
    }
    pids.sort_unstable();
    pids.dedup();
    assert!(pids.len() <= 5, "{pids:?}");
    let size = format!("SELECT size::bigint FROM {} WHERE id = 0", locked.table);
    assert_eq!(locked.observer.number(&size, &[]).await, 0);
}
