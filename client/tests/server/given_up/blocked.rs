//! Every verb, while the tables of locks and services are locked.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;
use volguard::{Cleanup, Volguard, sql};

use super::is_sound;
use crate::support::{Database, LONG, MOMENT, Observer, unique};

/// In a database of its own, whose tables of locks and services another transaction locks.
struct Blocked {
    observer: Observer,
    blocker: Client,
    volguard: Volguard,
    name: String,
    _database: Database,
}

impl Blocked {
    async fn new() -> Blocked {
        let (database, name) = (Database::new().await, unique("app"));
        let blocker = database.admin().await;
        blocker.batch_execute("CREATE TABLE volumes (id text PRIMARY KEY, status text)").await.unwrap();
        blocker.batch_execute("INSERT INTO volumes VALUES ('v', 'available')").await.unwrap();
        let mut config = database.config();
        config.application_name(&name);
        let volguard = database.client().config(config).connect().await.unwrap();
        let connection = volguard.connection().await.unwrap();
        sql::track_resource(&connection, "volume", "volumes", "id", "status").await.unwrap();
        let observer = Observer::of(&database.config()).await;
        Blocked { observer, blocker, volguard, name, _database: database }
    }

    async fn block(&self) {
        let lock = "BEGIN; LOCK volguard.workers, volguard.services, volumes IN ACCESS EXCLUSIVE MODE";
        self.blocker.batch_execute(lock).await.unwrap();
    }

    async fn unblock(&self) {
        self.blocker.batch_execute("COMMIT").await.unwrap();
    }

    async fn running(&self, verb: &str) -> i64 {
        self.observer.running(&self.name, &format!("volguard.{verb}(")).await
    }

    /// Drops a call that is blocked on the server, where it ends.
    async fn drop_blocked<T>(&self, verb: &'static str, call: impl Future<Output = T>) {
        let arrived = self.observer.until(1, async |_| self.running(verb).await);
        tokio::select! {
            _ = call => panic!("{verb} is not blocked"),
            () = arrived => {}
        }
        self.observer.until(0, async |_| self.running(verb).await).await;
    }
}

#[tokio::test]
async fn a_dropped_call_of_any_verb_ends_on_the_server() {
    let blocked = Blocked::new().await;
    let volguard = &blocked.volguard;
    let lease = Duration::from_secs(120);
    let session = volguard.register(&unique("host"), "test").lease(lease).janitor(None).await.unwrap();
    let lock = session.acquire(("volume", "1")).await.unwrap().unwrap();
    blocked.block().await;
    blocked.drop_blocked("set_status", lock.set_status(Some("busy"))).await;
    blocked.drop_blocked("assert_held", lock.assert_held()).await;
    blocked.drop_blocked("cleanup", volguard.cleanup(&Cleanup::default())).await;
    let update = volguard.update("volumes").key("id", "v").set("status", "x");
    blocked.drop_blocked("conditional_update", update.into_future()).await;
    blocked.drop_blocked("acquire", session.acquire(("volume", "2")).wait(LONG).into_future()).await;
    blocked.drop_blocked("acquire_all", session.acquire([("volume", "3"), ("volume", "4")]).into_future()).await;
    blocked.drop_blocked("start_work", session.start_work("volume", "v").set("status", "x").into_future()).await;
    let mut claims = session.claims();
    blocked.drop_blocked("claim_cleanup", claims.try_next()).await;
    let registration = volguard.register("host", "test");
    blocked.drop_blocked("register_service", registration.into_future()).await;
    // A verb that the caller has sent.
    let by_hand = async {
        let connection = volguard.connection().await.unwrap();
        sql::assert_held(&connection, lock.token()).await
    };
    blocked.drop_blocked("assert_held", by_hand).await;
    // A release goes on in the background, by one statement.
    let release = lock.release();
    tokio::select! {
        _ = release => panic!("it is not blocked"),
        () = blocked.observer.until(1, async |_| blocked.running("release").await) => {}
    }
    sleep(MOMENT).await;
    blocked.observer.until(1, async |_| blocked.running("release").await).await;
    blocked.unblock().await;
    blocked.observer.until(0, async |o| o.locks_of(&session).await).await;
    blocked.observer.until(0, async |o| o.running(&blocked.name, "").await).await;
    is_sound(volguard, 16).await;
    let row = "SELECT count(*) FROM volumes WHERE status = 'available'";
    assert_eq!(blocked.observer.number(row, &[]).await, 1);
    const SERVICES: &str = "SELECT count(*) FROM volguard.service_status";
    assert_eq!(blocked.observer.number(SERVICES, &[]).await, 1);
    session.stop().await.unwrap();
}

/// Each try has a connection of its own.
#[tokio::test]
async fn heartbeats_that_are_blocked_do_not_pile_up() {
    let blocked = Blocked::new().await;
    let registration = blocked.volguard.register(&unique("host"), "test").janitor(None);
    // Time for four tries.
    let session = registration.lease(Duration::from_secs(15)).await.unwrap();
    blocked.block().await;
    let mut most = 0;
    while session.loss().is_none() {
        most = most.max(blocked.running("heartbeat").await);
        sleep(Duration::from_millis(20)).await;
    }
    // One that is being cancelled, and the next; on a busy machine one more.
    assert!((1..=3).contains(&most), "{most} at once");
    blocked.observer.until(0, async |_| blocked.running("heartbeat").await).await;
    blocked.unblock().await;
}
