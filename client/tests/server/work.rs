//! Work: lock and status of the resource change together, or not at all.

mod broken;

use tokio::time::sleep;
use uuid::Uuid;
use volguard::update::{column, is};
use volguard::{Cleanup, Error, Session, StartWork, UpdateOutcome, Work, WorkOutcome, sql};

use crate::support::{LONG, MOMENT, Observer, code, connect, session, session_in, unique};

/// A tracked type of its own with one volume, `v`.
struct Stage {
    observer: Observer,
    table: String,
    kind: String,
}

impl Stage {
    async fn new() -> Stage {
        let (observer, kind) = (Observer::new().await, unique("volume"));
        let table = kind.replace('-', "_");
        observer
            .run(&format!(
                "CREATE TABLE {table} (id text PRIMARY KEY, status text, size integer CHECK (size < 100)); \
                 INSERT INTO {table} VALUES ('v', 'available', 1)"
            ))
            .await;
        let volguard = connect().await;
        let connection = volguard.connection().await.unwrap();
        sql::track_resource(&connection, &kind, &table, "id", "status").await.unwrap();
        let repair = volguard.update(&table).set("status", "error_extending").documents().unwrap().changes;
        sql::on_crash(&connection, &kind, "extending", Some(&repair), 0).await.unwrap();
        Stage { observer, table, kind }
    }

    fn start(&self, session: &Session) -> StartWork {
        session.start_work(&self.kind, "v").expect("status", "available").set("status", "extending")
    }

    async fn started(&self, session: &Session) -> Work {
        self.start(session).await.unwrap().started().unwrap()
    }

    /// 1 if the volume has this status.
    async fn in_status(&self, status: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {} WHERE status = $1", self.table);
        self.observer.number(&sql, &[&status]).await
    }

    async fn assert_status(&self, status: &str) {
        assert_eq!(self.in_status(status).await, 1, "not {status}");
    }

    async fn assert_untouched(&self, session: &Session) {
        assert_eq!(self.observer.locks_of(session).await, 0);
        self.assert_status("available").await;
    }
}

#[tokio::test]
async fn lock_and_row_come_and_go_together() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    let mut work = stage.started(&session).await;
    assert_eq!(work.row().get::<String>("status").unwrap(), "extending");
    assert_eq!((work.resource_id(), work.loss().is_some()), ("v", false));
    work.assert_held().await.unwrap();
    let fenced = volguard.update(&stage.table).key("id", "v").set("size", 2);
    let fenced = fenced.fenced_by(&work).await.unwrap();
    assert!(fenced.is_updated());

    let end = work.finish().set("status", "available");
    let row = end.set("size", column("size") + 1).await.unwrap();
    assert_eq!(row.updated().unwrap().get::<i64>("size").unwrap(), 3);
    stage.assert_untouched(&session).await;
    // The guard still exists, and blocks no other work.
    drop(stage.started(&session).await.into_lock());
    drop(work);
}

#[tokio::test]
async fn a_refusal_says_why_and_holds_nothing() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    let start = stage.start(&session).expect("size", 7);
    let start = start.only_if(is("size", 8)).unless(is("size", 1));
    match start.await.unwrap() {
        WorkOutcome::Unmet(names) => assert_eq!(names, ["size", "filter"]),
        other => panic!("{other:?}"),
    }
    let nowhere = session.start_work(&stage.kind, "w").set("status", "x");
    assert!(matches!(nowhere.await.unwrap(), WorkOutcome::NotFound));
    let untracked = session.start_work("unheard of", "v").set("status", "x");
    assert_eq!(code(&untracked.await.unwrap_err()), Some("42704"));
    let twice = stage.start(&session).set("status", "x");
    assert!(matches!(twice.await.unwrap_err(), Error::InvalidDocument { .. }));
    stage.assert_untouched(&session).await;
}

#[tokio::test]
async fn sql_of_the_caller_and_the_table_that_is_meant() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    let elsewhere = stage.start(&session).target("pg_catalog.pg_class").await;
    assert_eq!(code(&elsewhere.unwrap_err()), Some("22023"));
    let refused = stage.start(&session).filter_sql("target.size > 1").target(&stage.table);
    match refused.await.unwrap() {
        WorkOutcome::Unmet(names) => assert_eq!(names, ["filter_sql"]),
        other => panic!("{other:?}"),
    }
    stage.assert_untouched(&session).await;
    let start = stage.start(&session).filter_sql("target.size = 1").set_sql("size", "target.size + 2");
    let mut work = start.target(&stage.table).await.unwrap().started().unwrap();
    assert_eq!(work.row().get::<i64>("size").unwrap(), 3);
    let moved = work.finish().set("id", "w").await.unwrap_err();
    assert_eq!(code(&moved), Some("22023"));
    assert!(work.finish().set("status", "available").await.unwrap().is_updated());
    stage.assert_untouched(&session).await;
}

#[tokio::test]
async fn the_second_waits_for_the_final_state() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let cluster = unique("cluster");
    let (one, two) = (session_in(&volguard, &cluster).await, session_in(&volguard, &cluster).await);
    let mut work = stage.started(&one).await;
    for session in [&one, &two] {
        assert!(matches!(stage.start(session).await.unwrap(), WorkOutcome::Locked));
    }
    let waiting = [&one, &two].map(|session| {
        let start = stage.start(session).wait(LONG);
        // Each one finishes, and so lets the next one begin.
        tokio::spawn(async move {
            let mut work = start.await.unwrap().started().unwrap();
            work.finish().set("status", "available").await.unwrap()
        })
    });
    sleep(MOMENT).await;
    assert!(waiting.iter().all(|one| !one.is_finished()));
    let end = work.finish().set("status", "available").await.unwrap();
    assert!(end.is_updated());
    for waiter in waiting {
        assert!(waiter.await.unwrap().is_updated());
    }
}

#[tokio::test]
async fn values_that_are_refused_leave_the_work_going_on() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    let mut work = stage.started(&session).await;
    let refused = work.finish().set("size", 100).await.unwrap_err();
    assert_eq!(code(&refused), Some("23514"));
    work.finish().set("colour", "red").await.unwrap_err();
    work.assert_held().await.unwrap();
    stage.assert_status("extending").await;
    let end = work.finish().set("status", "error").await.unwrap();
    assert!(end.is_updated());
    assert_eq!(stage.observer.locks_of(&session).await, 0);
}

#[tokio::test]
async fn a_row_that_is_gone_and_a_lock_that_was_taken_away() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    let mut work = stage.started(&session).await;
    stage.observer.run(&format!("DELETE FROM {}", stage.table)).await;
    let end = work.finish().set("status", "available").await.unwrap();
    assert_eq!(end, UpdateOutcome::NotFound);
    assert!(work.into_lock().release().await.unwrap());

    let insert = format!("INSERT INTO {} VALUES ('v', 'available')", stage.table);
    stage.observer.run(&insert).await;
    let mut work = stage.started(&session).await;
    let force = "SELECT volguard.force_release($1, 'test')::int::bigint";
    assert_eq!(Observer::new().await.number(force, &[&work.token()]).await, 1);
    let end = work.finish().set("status", "available").await.unwrap();
    assert_eq!(end, UpdateOutcome::Fenced);
    assert!(work.loss().is_some());
    stage.assert_status("extending").await;
}

#[tokio::test]
async fn a_dropped_guard_leaves_the_work_to_its_request_or_to_cleanup() {
    let (volguard, stage) = (connect().await, Stage::new().await);
    let session = session(&volguard).await;
    let id = Uuid::new_v4();
    let start = stage.start(&session).request_id(id);
    let token = start.clone().await.unwrap().started().map(|work| work.token());
    sleep(MOMENT).await;
    assert_eq!(stage.observer.locks_of(&session).await, 1);
    stage.assert_status("extending").await;
    let other = stage.start(&session).await.unwrap();
    assert!(matches!(other, WorkOutcome::Locked));
    let work = start.await.unwrap().started().unwrap();
    assert_eq!(Some(work.token()), token);
    drop(work);

    let service = session.service_id();
    assert_eq!(session.stop().await.unwrap(), 1);
    let mut of_service = Cleanup::default();
    of_service.service_id = Some(service);
    let cleaned = volguard.cleanup(&of_service).await.unwrap();
    assert_eq!(cleaned[0].state, "cleaned");
    stage.assert_status("error_extending").await;
}
