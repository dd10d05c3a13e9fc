//! Submitted work: the row and the work that waits, both or neither, once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;
use uuid::Uuid;
use volguard::update::{column, is};
use volguard::{Error, UpdateOutcome, WorkOutcome};

use crate::support::{Fault, LONG, Proxy, Stage, code, next, poll_times};

#[tokio::test]
async fn the_row_and_the_work_are_written_together() {
    let stage = Stage::new().await;
    let _session = stage.session().await;
    let submit = stage.delete(1).set("size", column("size") + 1);
    let work = submit.await.unwrap().started().expect("it is available");
    assert_eq!(work.row.get::<i64>("size").unwrap(), 2);
    assert_eq!((stage.in_status("deleting").await, stage.work().await), (1, (1, 0)));

    let taken = stage.volguard.submit(&stage.cluster, &stage.kind, "1").set("status", "extending");
    assert!(matches!(taken.await.unwrap(), WorkOutcome::Locked));
    match stage.delete(2).expect("size", 7).only_if(is("size", 8)).await.unwrap() {
        WorkOutcome::Unmet(names) => assert_eq!(names, ["size", "filter"]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(stage.delete(99).await.unwrap(), WorkOutcome::NotFound));
    let nowhere = stage.volguard.submit("nowhere", &stage.kind, "2").set("status", "deleting");
    assert_eq!(code(&nowhere.await.unwrap_err()), Some("42704"));
    let twice = stage.delete(2).set("status", "again");
    assert!(matches!(twice.await.unwrap_err(), Error::InvalidDocument { .. }));
    let details = stage.delete(2).details(f64::NAN);
    assert!(matches!(details.await.unwrap_err(), Error::InvalidDocument { .. }));
    let elsewhere = stage.delete(2).target("pg_catalog.pg_class");
    assert_eq!(code(&elsewhere.await.unwrap_err()), Some("22023"));
    assert_eq!((stage.in_status("deleting").await, stage.work().await), (1, (1, 0)));
}

#[tokio::test]
async fn the_row_can_come_with_its_work() {
    let stage = Stage::new().await;
    let _session = stage.session().await;
    let mut connection = stage.volguard.connection().await.unwrap();
    for rolls_back in [true, false] {
        let transaction = connection.transaction().await.unwrap();
        let insert = format!("INSERT INTO {} VALUES (70, 'new')", stage.table);
        transaction.batch_execute(&insert).await.unwrap();
        let create = stage.volguard.submit(&stage.cluster, &stage.kind, "70").set("status", "creating");
        assert!(create.within(&transaction).await.unwrap().started().is_some());
        match rolls_back {
            true => transaction.rollback().await.unwrap(),
            false => transaction.commit().await.unwrap(),
        }
        let there = i64::from(!rolls_back);
        assert_eq!((stage.in_status("creating").await, stage.work().await), (there, (there, 0)));
    }
}

#[tokio::test]
async fn cancelled_work_is_gone_and_its_status_undone() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let (one, two) = (stage.submitted(1).await, stage.submitted(2).await);
    let cancel = stage.volguard.cancel(one).set("status", "available").target(&stage.table);
    let row = cancel.clone().await.unwrap().updated().expect("it waits");
    assert_eq!(row.get::<String>("status").unwrap(), "available");
    assert_eq!(cancel.await.unwrap(), UpdateOutcome::Fenced);
    // Without a change only the work goes.
    assert_eq!(stage.volguard.cancel(two).await.unwrap().updated().expect("it waits").as_json(), "null");
    assert_eq!((stage.in_status("deleting").await, stage.work().await), (1, (0, 0)));
    // What a service has is its own.
    let three = stage.submitted(3).await;
    let work = next(&mut session.work(&[])).await;
    assert_eq!(stage.volguard.cancel(three).set("status", "available").await.unwrap(), UpdateOutcome::Fenced);
    assert!(work.release().await.unwrap());
    assert!(stage.volguard.cancel(three).set("status", "available").await.unwrap().is_updated());
}

#[tokio::test]
async fn work_is_due_after_a_time_or_at_a_time() {
    let stage = Stage::new().await;
    let _session = stage.session().await;
    const DUE: &str = "SELECT EXTRACT(epoch FROM not_before)::bigint FROM volguard.lock_status WHERE work_id = $1";
    const NOW: &str = "SELECT EXTRACT(epoch FROM clock_timestamp())::bigint";
    let before = stage.observer.number(NOW, &[]).await;
    let after = stage.delete(1).delay(Duration::from_secs(3600)).await.unwrap().started().unwrap();
    let due = stage.observer.number(DUE, &[&after.work_id]).await;
    let elapsed = stage.observer.number(NOW, &[]).await - before;
    assert!((3599..=3601 + elapsed).contains(&(due - before)), "{before} {due} {elapsed}");
    // The last word counts.
    let moment = SystemTime::now() + Duration::from_secs(7200);
    let at = stage.delete(2).delay(Duration::from_secs(1)).not_before(moment).await.unwrap().started().unwrap();
    let due = stage.observer.number(DUE, &[&at.work_id]).await;
    let expected = moment.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((expected..=expected + 1).contains(&due));
}

#[tokio::test]
async fn work_whose_answer_was_lost_is_submitted_once() {
    let (stage, proxy) = (Stage::new().await, Proxy::start().await);
    let _session = stage.session().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let faults = [(Fault::LoseReply, 1), (Fault::LoseReply, 3), (Fault::LoseStatement, 2), (Fault::CutWhileRunning, 1)];
    for (volume, (fault, times)) in faults.into_iter().enumerate() {
        proxy.inject("submit_work", fault, times);
        let work = stage.delete_by(&volguard, volume).await.unwrap();
        let work = work.started().unwrap_or_else(|| panic!("{fault:?}"));
        assert!(proxy.struck());
        assert_eq!(work.row.get::<String>("status").unwrap(), "deleting");
        assert_eq!(stage.work().await, (volume as i64 + 1, 0));
    }
}

/// The server can't be reached for longer than a call may take: the error is that of the try whose outcome is open.
#[tokio::test]
async fn a_request_that_stays_unanswered_can_be_repeated_later() {
    let (stage, proxy) = (Stage::new().await, Proxy::start().await);
    let _session = stage.session().await;
    let volguard = proxy.builder().time_limit(Duration::from_secs(5)).connect().await.unwrap();
    let submit = stage.delete_by(&volguard, 1);
    proxy.inject("submit_work", Fault::LoseReply, usize::MAX);
    let failed = timeout(LONG, submit.clone()).await.unwrap().unwrap_err();
    assert!(matches!(failed, Error::Database(_)) && failed.is_retryable(), "{failed}");
    assert_eq!(stage.work().await, (1, 0));
    proxy.inject("submit_work", Fault::LoseReply, 0);
    let work = submit.await.unwrap().started().expect("it is the same request");
    assert_eq!(stage.volguard.cancel(work.work_id).await.unwrap().updated().unwrap().as_json(), "null");
}

#[tokio::test]
async fn a_dropped_request_is_found_again_also_after_its_end() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let submit = stage.delete(1).request_id(Uuid::new_v4());
    let submitting = tokio::spawn(submit.clone().into_future());
    stage.until_work(1, 0).await;
    submitting.abort();
    let work = submit.clone().await.unwrap().started().expect("the same");
    assert_eq!(stage.work().await, (1, 0));
    let mut taken = next(&mut session.work(&[])).await;
    assert_eq!(taken.work_id(), Some(work.work_id));
    assert!(taken.finish().set("status", "available").await.unwrap().is_updated());
    // The row would be as expected once more.
    let again = submit.await.unwrap().started().expect("the same");
    assert_eq!(again.work_id, work.work_id);
    assert_eq!(stage.work().await, (0, 0));
    // Not sent at all, it is submitted by a clone.
    let submit = stage.delete(2);
    assert!(poll_times(0, submit.clone().into_future()).await.is_none());
    assert!(submit.await.unwrap().started().is_some());
}

#[tokio::test]
async fn a_cancel_whose_answer_was_lost_tells_so() {
    let (stage, proxy) = (Stage::new().await, Proxy::start().await);
    let _session = stage.session().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let (one, two) = (stage.submitted(1).await, stage.submitted(2).await);
    proxy.inject("cancel_work", Fault::LoseReply, 1);
    let failed = volguard.cancel(one).set("status", "available").await.unwrap_err();
    assert!(proxy.struck() && failed.is_retryable(), "{failed}");
    proxy.inject("cancel_work", Fault::LoseStatement, 1);
    assert!(volguard.cancel(two).set("status", "available").await.unwrap().is_updated());
    assert!(proxy.struck());
    assert_eq!((stage.in_status("deleting").await, stage.work().await), (0, (0, 0)));
}
