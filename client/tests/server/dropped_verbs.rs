//! Every verb dropped at each of its awaits: the pool of two stays sound, and no lock stays.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::Level;
use volguard::{Session, Volguard, WorkOutcome, sql};

use crate::support::{Database, LEASE, LONG, Log, MOMENT, Observer, poll_times, session_in, unique};

/// In a database of its own, with a table of volumes.
struct Stage {
    database: Database,
    observer: Observer,
    volguard: Volguard,
    session: Session,
}

impl Stage {
    async fn set() -> Stage {
        let database = Database::new().await;
        let create = "CREATE TABLE volumes (id text PRIMARY KEY, status text, size int DEFAULT 0); \
                      INSERT INTO volumes VALUES ('v', 'available')";
        database.admin().await.batch_execute(create).await.unwrap();
        let volguard = database.client().pool_size(2).connect().await.unwrap();
        let connection = volguard.connection().await.unwrap();
        sql::track_resource(&connection, "volume", "volumes", "id", "status").await.unwrap();
        drop(connection);
        let session = session_in(&volguard, &unique("cluster")).await;
        let observer = Observer::of(&database.config()).await;
        Stage { database, observer, volguard, session }
    }

    async fn is_clean(&self) {
        self.observer.until(0, async |o| o.locks_of(&self.session).await).await;
        let mut both = Vec::new();
        for _ in 0..2 {
            both.push(timeout(LONG / 4, self.volguard.connection()).await.expect("in time").unwrap());
        }
        for connection in both {
            let one = timeout(LONG / 4, connection.query_typed("SELECT 1", &[])).await.expect("it answers");
            assert_eq!(one.unwrap()[0].get::<_, i32>(0), 1);
        }
    }
}

/// Drops it when it is woken for the so many-th time, and in between, until it is done.
macro_rules! at_every_await {
    ($stage:expr, $verb:expr) => {
        for moment in 0..40 {
            let _ = timeout(Duration::from_micros(moment * 150), $verb).await;
            $stage.is_clean().await;
        }
        for times in 0.. {
            let done = poll_times(times, $verb).await;
            $stage.is_clean().await;
            if done.is_some() {
                break;
            }
            assert!(times < 100);
        }
    };
}

#[tokio::test]
async fn locks() {
    let stage = Stage::set().await;
    let session = &stage.session;
    let key = ("volume", "a");
    at_every_await!(stage, session.with_lock(key, LONG, |held| async move { held.assert_held().await.unwrap() }));
    at_every_await!(stage, async {
        let lock = session.acquire([key, ("volume", "b")]).wait(LONG).await.unwrap().unwrap();
        lock.set_status(Some("busy")).await.unwrap();
        lock.set_status(None).await.unwrap();
        session.release_all(vec![lock]).await.unwrap()
    });
    at_every_await!(stage, stage.volguard.update("volumes").key("id", "v").set("size", 1).into_future());
    at_every_await!(stage, async {
        let connection = stage.volguard.connection().await.unwrap();
        connection.batch_execute("BEGIN; UPDATE volumes SET size = 2").await.unwrap();
        connection.batch_execute("COMMIT").await.unwrap();
    });
}

/// What is dropped with a connection under way is not used by others, so registering works each time.
#[tokio::test]
async fn sessions() {
    let stage = Stage::set().await;
    // One that was dropped is lost, and followed by the next, when it is over.
    let lease = LEASE * 2;
    let mut incarnations = stage.volguard.register("host", "test").lease(lease).incarnations();
    at_every_await!(stage, async { drop(incarnations.next().await.unwrap().unwrap()) });
    for times in 0.. {
        let session = stage.volguard.register("host", "test").lease(lease).await.unwrap();
        let service_id = session.service_id();
        let lock = session.acquire(("volume", "a")).wait(LONG).await.unwrap().unwrap();
        let done = poll_times(times, session.stop()).await;
        if times > 0 {
            stage.observer.until(0, async |o| o.up(service_id).await).await;
            assert!(lock.loss().is_some());
        }
        drop(lock);
        stage.is_clean().await;
        if done.is_some() || times == 12 {
            break;
        }
    }
}

#[tokio::test]
async fn work() {
    let stage = Stage::set().await;
    for times in 0.. {
        let start = stage.session.start_work("volume", "v").expect("status", "available").set("status", "busy");
        let WorkOutcome::Started(mut work) = start.wait(LONG).await.unwrap() else { panic!("not started") };
        let done = poll_times(times, work.finish().set("status", "available").into_future()).await;
        if times == 0 {
            assert!(work.finish().set("status", "available").await.unwrap().is_updated());
        }
        drop(work);
        stage.is_clean().await;
        if done.is_some() || times == 12 {
            break;
        }
    }
    let busy = "SELECT count(*) FROM volumes WHERE status = 'busy'";
    assert_eq!(stage.observer.number(busy, &[]).await, 0);
}

#[tokio::test]
async fn claims() {
    let stage = Stage::set().await;
    let cluster = unique("cluster");
    let session = session_in(&stage.volguard, &cluster).await;
    let admin = stage.database.admin().await;
    let crash = format!(
        "WITH s AS MATERIALIZED (SELECT volguard.register_service('dead', 'test', cluster => '{cluster}') AS id), \
         w AS MATERIALIZED (SELECT id, volguard.acquire(id, 'backup', 'b', status => 'running') FROM s) \
         SELECT volguard.deregister_service(id) FROM w"
    );
    admin.batch_execute(&crash).await.unwrap();
    let unclaimed = "SELECT count(*) FROM volguard.lock_status WHERE resource_type = 'backup' AND service_id <> $1";
    let mut claims = session.claims().every(Duration::from_millis(50));
    for times in 0..30 {
        let claimed = poll_times(times, claims.next()).await;
        drop(claimed);
        stage.observer.until(1, async |o| o.number(unclaimed, &[&session.service_id()]).await).await;
        stage.is_clean().await;
    }
    sleep(MOMENT).await;
    let work = timeout(LONG, claims.next()).await.unwrap().unwrap().unwrap();
    assert!(work.finish_cleanup().await.unwrap());
}

/// The end was under way when its future was dropped: the work is not left in silence if it is refused.
#[tokio::test]
async fn work_whose_end_was_dropped_and_is_refused_is_told() {
    let log = Log::listen();
    let stage = Stage::set().await;
    let start = stage.session.start_work("volume", "v").expect("status", "available").set("status", "busy");
    let WorkOutcome::Started(mut work) = start.await.unwrap() else { panic!("not started") };
    // No value of this column, which the server says.
    let end = work.finish().set("status", "available").set("size", "no number").into_future();
    // One poll sends it. It is dropped before the test lets the runtime read the answer.
    tokio::select! {
        biased;
        _ = end => panic!("answered at once"),
        () = std::future::ready(()) => {}
    }
    drop(work);
    log.until(Level::WARN, "unfinished work", 1).await;
    assert_eq!(stage.observer.locks_of(&stage.session).await, 1);
    sleep(MOMENT).await;
    assert_eq!(log.count(Level::WARN, "unfinished work"), 1, "{:?}", log.lines());
}
