//! Handlers of submitted work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use tracing::Level;
use volguard::{Error, Loss, Work};

use crate::support::{LONG, Log, MOMENT, Stage, code};

async fn delete(mut work: Work) {
    assert!(work.finish().set("status", "deleted").await.unwrap().is_updated());
}

#[tokio::test]
async fn each_operation_has_its_handler_and_all_end_before_the_stop() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    for volume in 0..8 {
        stage.submitted(volume).await;
    }
    let extend = stage.delete(8).operation("extend");
    extend.await.unwrap().started().unwrap();
    let other = stage.delete(9).operation("other");
    other.await.unwrap().started().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (entered_by, gone) = (Arc::clone(&entered), Arc::clone(&go));
    let serve = session
        .serve()
        .on("delete", delete)
        .on("extend", move |mut work| {
            let (entered, go) = (Arc::clone(&entered_by), Arc::clone(&gone));
            async move {
                entered.notify_one();
                go.notified().await;
                assert!(work.finish().set("status", "extended").await.unwrap().is_updated());
            }
        })
        .concurrency(2)
        .until(async { stopped.await.unwrap() });
    let serving = tokio::spawn(serve.into_future());
    timeout(LONG, entered.notified()).await.unwrap();
    stage.observer.until(8, async |_| stage.in_status("deleted").await).await;
    stop.send(()).unwrap();
    stage.submitted(10).await;
    tokio::time::sleep(MOMENT).await;
    assert!(!serving.is_finished(), "a handler is at work");
    go.notify_one();
    timeout(LONG, serving).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.in_status("extended").await, 1);
    // Work of other operations, or that came too late, is left, or goes back into the queue.
    stage.until_work(2, 0).await;
    assert_eq!(session.stop().await.unwrap(), 0);
}

#[tokio::test]
async fn so_many_are_done_at_a_time() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    for volume in 0..9 {
        stage.submitted(volume).await;
    }
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (handlers, most_of) = (Arc::clone(&now), Arc::clone(&most));
    let (three, mut arrived) = mpsc::unbounded_channel();
    let (release, released) = tokio::sync::watch::channel(false);
    let serve = session.serve().resource_type(&stage.kind).concurrency(3).on("delete", move |work| {
        let (now, most, three, mut released) =
            (Arc::clone(&handlers), Arc::clone(&most_of), three.clone(), released.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            three.send(()).unwrap();
            released.wait_for(|go| *go).await.unwrap();
            now.fetch_sub(1, Ordering::SeqCst);
            delete(work).await;
        }
    });
    let serving = tokio::spawn(serve.into_future());
    for _ in 0..3 {
        timeout(LONG, arrived.recv()).await.unwrap().unwrap();
    }
    assert!(timeout(MOMENT, arrived.recv()).await.is_err(), "a fourth");
    release.send_replace(true);
    stage.observer.until(9, async |_| stage.in_status("deleted").await).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    session.stop().await.unwrap();
    timeout(LONG, serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_leaves_its_work_and_the_others_go_on() {
    let (stage, log) = (Stage::new().await, Log::listen());
    let session = stage.session().await;
    let serve = session.serve().on("delete", async |work: Work| {
        assert_ne!(work.resource_id(), "0", "a handler that panics");
        delete(work).await;
    });
    let serving = tokio::spawn(serve.into_future());
    stage.submitted(0).await;
    log.until(Level::ERROR, "a handler panicked", 1).await;
    stage.submitted(1).await;
    stage.observer.until(1, async |_| stage.in_status("deleted").await).await;
    assert_eq!(stage.work().await, (0, 1));
    session.stop().await.unwrap();
    timeout(LONG, serving).await.unwrap().unwrap().unwrap();
    assert_eq!(stage.work().await, (1, 0));
}

#[tokio::test]
async fn a_lost_session_drops_the_handlers() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    let (dropped, mut is_dropped) = mpsc::channel::<()>(1);
    let (entered, mut has_entered) = mpsc::channel::<()>(1);
    let serve = session.serve().on("delete", move |work| {
        let (dropped, entered) = (dropped.clone(), entered.clone());
        async move {
            let _both = (work, dropped);
            entered.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let serving = tokio::spawn(serve.into_future());
    stage.submitted(0).await;
    timeout(LONG, has_entered.recv()).await.unwrap().unwrap();
    const FENCE: &str = "SELECT volguard.fence_service($1, 'a test')::int::bigint";
    stage.observer.number(FENCE, &[&session.service_id()]).await;
    let lost = timeout(LONG, serving).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(lost, Error::SessionLost(Loss::Fenced) | Error::ServiceFenced(_)), "{lost}");
    // Each sender went with its handler.
    assert!(timeout(LONG, is_dropped.recv()).await.unwrap().is_none());
}

#[tokio::test]
async fn without_a_handler_nothing_is_taken() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    stage.submitted(0).await;
    let refused = timeout(LONG, session.serve()).await.unwrap().unwrap_err();
    assert_eq!(code(&refused), Some("22023"));
    assert_eq!(stage.work().await, (1, 0));
}
