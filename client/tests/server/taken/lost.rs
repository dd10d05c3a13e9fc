//! Lost answers, dropped futures, lost sessions.

use tokio::time::timeout;
use tracing::Level;
use volguard::{Error, Loss, Session};

use crate::support::{Fault, LONG, Log, MOMENT, Proxy, Stage, named, next, nothing, session_in, unique};

async fn behind_a_proxy(stage: &Stage) -> (Proxy, Session) {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let session = session_in(&volguard, &stage.cluster).await;
    (proxy, session)
}

#[tokio::test]
async fn a_lost_answer_loses_no_work() {
    let stage = Stage::new().await;
    let (proxy, session) = behind_a_proxy(&stage).await;
    for (volume, fault) in [Fault::LoseReply, Fault::LoseStatement, Fault::CutWhileRunning].into_iter().enumerate() {
        let work_id = stage.submitted(volume).await;
        proxy.inject("next_work", fault, 2);
        let mut stream = session.work(&[]);
        let mut work = next(&mut stream).await;
        assert!(proxy.struck(), "{fault:?}");
        assert_eq!((work.work_id(), work.attempt()), (Some(work_id), 1));
        work.assert_held().await.unwrap();
        // The settlement of the lost calls, which goes on, takes nothing away.
        nothing(&mut session.work(&[]), MOMENT).await;
        assert!(work.finish().set("status", "deleted").await.unwrap().is_updated());
    }
    assert_eq!(stage.work().await, (0, 0));
}

/// A call that is cut off waits on in the server, which hands it the next work.
#[tokio::test]
async fn a_call_that_goes_on_without_its_connection_keeps_nothing() {
    let stage = Stage::new().await;
    let (proxy, session) = behind_a_proxy(&stage).await;
    let mut stream = session.work(&[]).concurrency(9);
    proxy.inject("next_work", Fault::CutWhileRunning, 1);
    tokio::select! {
        next = stream.next() => panic!("{next:?}"),
        () = stage.observer.until(1, async |_| i64::from(proxy.struck())) => {}
    }
    nothing(&mut stream, MOMENT * 2).await;
    let mut works = Vec::new();
    for volume in 0..3 {
        stage.submitted(volume).await;
        works.push(next(&mut stream).await);
    }
    for work in &works {
        work.assert_held().await.unwrap();
    }
    stage.until_work(0, 3).await;
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let (stage, name) = (Stage::new().await, unique("app"));
    let session = session_in(&named(&name).connect().await.unwrap(), &stage.cluster).await;
    let mut stream = session.work(&[]);
    stage.until_asleep(&mut stream, &name).await;
    let work_id = stage.submitted(1).await;
    // Not polled meanwhile.
    stage.until_work(0, 1).await;
    assert_eq!(next(&mut stream).await.work_id(), Some(work_id));
}

#[tokio::test]
async fn work_that_was_not_handed_out_goes_back_with_the_stream() {
    let (stage, proxy, name) = (Stage::new().await, Proxy::start().await, unique("app"));
    let mut config = proxy.config();
    config.application_name(&name);
    let session = session_in(&proxy.builder().config(config).connect().await.unwrap(), &stage.cluster).await;
    // The answer has come.
    let mut stream = session.work(&[]);
    stage.until_asleep(&mut stream, &name).await;
    stage.submitted(1).await;
    stage.until_work(0, 1).await;
    drop(stream);
    stage.until_work(1, 0).await;
    // The answer is on its way.
    proxy.inject("next_work", Fault::HoldReply, 1);
    let mut stream = session.work(&[]);
    let taking = tokio::spawn(async move { stream.next().await.map(drop) });
    stage.until_work(0, 1).await;
    taking.abort();
    assert!(taking.await.unwrap_err().is_cancelled());
    proxy.let_go();
    stage.until_work(1, 0).await;
    assert_eq!(next(&mut session.work(&[])).await.attempt(), 1);
}

/// Only the program knows how far it has come.
#[tokio::test]
async fn a_dropped_guard_leaves_the_work_until_the_session_ends() {
    let (stage, log) = (Stage::new().await, Log::listen());
    let session = stage.session().await;
    let work_id = stage.submitted(1).await;
    let mut stream = session.work(&[]);
    drop(next(&mut stream).await);
    assert_eq!(log.count(Level::WARN, "unfinished work"), 1);
    nothing(&mut stream, MOMENT).await;
    assert_eq!(stage.work().await, (0, 1));
    // Stopped in order, it leaves no work behind.
    assert_eq!(session.stop().await.unwrap(), 0);
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(next(&mut stage.session().await.work(&[])).await.work_id(), Some(work_id));
}

#[tokio::test]
async fn a_stop_ends_the_stream_and_the_work_under_it() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    stage.submitted(1).await;
    let mut stream = session.work(&[]).concurrency(2);
    let mut work = next(&mut stream).await;
    nothing(&mut stream, MOMENT).await;
    assert_eq!(timeout(LONG, session.stop()).await.expect("it waits for no work").unwrap(), 0);
    assert!(stream.next().await.unwrap().is_none());
    assert!(matches!(work.finish().set("status", "deleted").await, Err(Error::SessionLost(Loss::Stopped))));
    assert_eq!((stage.in_status("deleting").await, stage.work().await), (1, (1, 0)));
}

#[tokio::test]
async fn a_lost_session_ends_the_stream_and_the_work_under_it() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    stage.submitted(1).await;
    let mut stream = session.work(&[]).concurrency(2);
    let work = next(&mut stream).await;
    let endless = tokio::spawn(async move { work.run(std::future::pending::<()>()).await });
    nothing(&mut stream, MOMENT).await;
    // Another incarnation replaces the service.
    const AGAIN: &str = "SELECT volguard.register_service(host, binary_name, cluster => cluster) \
                         FROM volguard.service_status WHERE service_id = $1";
    stage.observer.number(AGAIN, &[&session.service_id()]).await;
    let lost = timeout(LONG, stream.next()).await.expect("a call or a heartbeat tells").unwrap_err();
    assert!(matches!(lost, Error::SessionLost(Loss::Fenced) | Error::ServiceFenced(_)), "{lost}");
    assert_eq!(timeout(LONG, endless).await.unwrap().unwrap(), Err(Loss::Fenced));
    let lost = stream.next().await.unwrap_err();
    assert!(matches!(lost, Error::SessionLost(Loss::Fenced)), "{lost}");
}

#[tokio::test]
async fn a_pass_whose_answer_was_lost_is_repeated_and_tells_so() {
    let stage = Stage::new().await;
    let (proxy, session) = behind_a_proxy(&stage).await;
    let (mut deleting, mut wiping) = (session.work(&["delete"]), session.work(&["wipe"]));
    stage.submitted(1).await;
    let mut work = next(&mut deleting).await;
    proxy.inject("pass_work", Fault::LoseStatement, 2);
    assert!(work.pass("wipe").set("status", "wiping").await.unwrap().is_updated());
    assert!(proxy.struck());
    let mut work = next(&mut wiping).await;
    proxy.inject("pass_work", Fault::LoseReply, 1);
    let failed = work.pass("delete").set("status", "deleting").await.unwrap_err();
    assert!(proxy.struck() && failed.is_retryable(), "{failed}");
    assert!(work.loss().is_some());
    drop(work);
    let mut work = next(&mut deleting).await;
    assert_eq!((work.status(), stage.in_status("deleting").await), ("deleting", 1));
    // Dropped on its way, it goes on.
    proxy.inject("pass_work", Fault::HoldReply, 1);
    tokio::select! {
        passed = work.pass("wipe").into_future() => panic!("{passed:?}"),
        () = stage.observer.until(1, async |_| i64::from(proxy.struck())) => {}
    }
    proxy.let_go();
    drop(work);
    assert_eq!(next(&mut wiping).await.attempt(), 1);
}
