//! A tracked type of its own, and a cluster that work on it is submitted to.

use std::time::Duration;

use tokio::time::timeout;
use volguard::{Session, Submit, Volguard, Work, WorkStream, sql};

use super::{LONG, Observer, connect, session_in, unique};

/// Volumes `0` to `39`, all `available`.
pub(crate) struct Stage {
    pub(crate) observer: Observer,
    pub(crate) volguard: Volguard,
    pub(crate) table: String,
    pub(crate) kind: String,
    pub(crate) cluster: String,
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        let (observer, volguard, kind) = (Observer::new().await, connect().await, unique("volume"));
        let table = kind.replace('-', "_");
        observer
            .run(&format!(
                "CREATE TABLE {table} (id integer PRIMARY KEY, status text, size integer NOT NULL DEFAULT 1); \
                 INSERT INTO {table} SELECT n, 'available' FROM generate_series(0, 39) AS n"
            ))
            .await;
        let connection = volguard.connection().await.unwrap();
        sql::track_resource(&connection, &kind, &table, "id", "status").await.unwrap();
        drop(connection);
        Stage { observer, volguard, table, kind, cluster: unique("cluster") }
    }

    /// A service of the cluster.
    pub(crate) async fn session(&self) -> Session {
        session_in(&self.volguard, &self.cluster).await
    }

    pub(crate) fn delete(&self, volume: usize) -> Submit {
        self.delete_by(&self.volguard, volume)
    }

    pub(crate) fn delete_by(&self, volguard: &Volguard, volume: usize) -> Submit {
        let submit = volguard.submit(&self.cluster, &self.kind, &volume.to_string()).operation("delete");
        submit.expect("status", "available").set("status", "deleting")
    }

    /// Submits it, and returns its number.
    pub(crate) async fn submitted(&self, volume: usize) -> i64 {
        self.delete(volume).await.unwrap().started().expect("it is available").work_id
    }

    /// How many volumes have this status.
    pub(crate) async fn in_status(&self, status: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {} WHERE status = $1", self.table);
        self.observer.number(&sql, &[&status]).await
    }

    /// How much work waits, and how much services have.
    pub(crate) async fn work(&self) -> (i64, i64) {
        const SQL: &str = "SELECT count(*) FROM volguard.lock_status WHERE resource_type = $1";
        let waiting = format!("{SQL} AND service_id IS NULL");
        let all = self.observer.number(SQL, &[&self.kind]).await;
        let waiting = self.observer.number(&waiting, &[&self.kind]).await;
        (waiting, all - waiting)
    }

    /// Polls the stream of a client with this application name, for which there is no work, until its call sleeps in
    /// the database. From then on the call needs no polls.
    pub(crate) async fn until_asleep(&self, stream: &mut WorkStream, name: &str) {
        tokio::select! {
            next = stream.next() => panic!("{next:?}"),
            () = self.observer.until(1, async |o| o.sleeping(name, "next_work").await) => {}
        }
    }

    /// Waits until so much work waits, and services have so much.
    pub(crate) async fn until_work(&self, waiting: i64, taken: i64) {
        self.observer
            .until(waiting * 1000 + taken, async |_| {
                let (waiting, taken) = self.work().await;
                waiting * 1000 + taken
            })
            .await;
    }
}

/// The next work of a stream that has some.
pub(crate) async fn next(stream: &mut WorkStream) -> Work {
    timeout(LONG, stream.next()).await.expect("there is work").unwrap().expect("the session lives")
}

/// There is none for the stream by the end of this time.
pub(crate) async fn nothing(stream: &mut WorkStream, time: Duration) {
    let next = timeout(time, stream.next()).await;
    assert!(next.is_err(), "{next:?}");
}
