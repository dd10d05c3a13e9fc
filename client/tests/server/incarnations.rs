//! A process continues under a new service when its session is lost.

use std::future::pending;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::NoTls;
use volguard::{Error, Loss};

use crate::support::{Fault, LEASE, LONG, MOMENT, Observer, Proxy, code, connect, direct, key, unique};

#[tokio::test]
async fn a_lost_session_is_followed_by_a_new_one() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test");
    let registration = registration.cluster(&unique("cluster")).lease(LEASE);
    let mut incarnations = registration.incarnations();
    let first = incarnations.next().await.unwrap().unwrap();
    let lock = first.acquire(key("1")).await.unwrap().unwrap();
    assert!(timeout(MOMENT, incarnations.next()).await.is_err());

    proxy.freeze_open();
    proxy.refuse(true);
    assert_eq!(timeout(LONG, first.lost()).await.unwrap(), Loss::LeaseRanOut);
    let second = async {
        // The server can't be reached yet.
        assert!(timeout(MOMENT, incarnations.next()).await.is_err());
        proxy.refuse(false);
        incarnations.next().await.unwrap().unwrap()
    };
    let second = timeout(LONG, second).await.unwrap();
    assert!(second.service_id() > first.service_id());
    assert!(first.loss().is_some() && lock.loss().is_some() && second.loss().is_none());
    assert_eq!(observer.up(first.service_id()).await, 0);
    assert_eq!(observer.up(second.service_id()).await, 1);

    // What the first held has been cleaned up, and is free.
    let wait = second.acquire(key("1")).wait(LONG);
    let again = wait.await.unwrap().unwrap();
    assert!(again.token() > lock.token());
    let refused = first.acquire(key("2")).await.unwrap_err();
    assert!(matches!(refused, Error::SessionLost(_)), "{refused}");
}

/// A transaction that has checked a token, and was left open, can't be fenced. The error says whose it is.
#[tokio::test]
async fn a_registration_says_which_process_is_in_its_way() {
    let volguard = connect().await;
    let registration = volguard.register(&unique("host"), "test");
    let first = registration.clone().await.unwrap();
    let lock = first.acquire(key("1")).await.unwrap().unwrap();
    let (left_open, connection) = direct().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    left_open.batch_execute(&format!("BEGIN; SELECT volguard.assert_held({})", lock.token())).await.unwrap();
    let pid: i32 = left_open.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    let refused = timeout(LONG, registration.clone()).await.unwrap().unwrap_err();
    assert_eq!((code(&refused), refused.is_retryable()), (Some("55P03"), true), "{refused}");
    let Error::Database(error) = &refused else {
        panic!("{refused}");
    };
    let detail = error.as_db_error().and_then(|error| error.detail());
    assert_eq!(detail, Some(&*format!("It is held by process {pid}.")));
    left_open.batch_execute("COMMIT").await.unwrap();
    let second = timeout(LONG, registration).await.unwrap().unwrap();
    assert!(second.service_id() > first.service_id());
}

/// Registering fences the old service, which frees its locks.
#[tokio::test]
async fn work_under_the_old_session_has_ended_before_a_new_one_is_registered() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let registration = volguard.register(&unique("host"), "test");
    let mut incarnations = registration.lease(LEASE).incarnations();
    let first = incarnations.next().await.unwrap().unwrap();
    let work = Box::pin(async {
        first.run(pending::<()>()).await.unwrap_err();
    });
    let mut work = Some(work);
    // It has begun and is not polled any more, as if its thread were busy elsewhere.
    assert!(timeout(MOMENT, work.as_mut().unwrap()).await.is_err());
    proxy.freeze_open();
    proxy.refuse(true);
    timeout(LONG, first.lost()).await.unwrap();
    proxy.refuse(false);
    assert!(timeout(MOMENT, incarnations.next()).await.is_err());
    let services = "SELECT count(*) FROM volguard.service_status WHERE host =
                    (SELECT host FROM volguard.service_status WHERE service_id = $1)";
    assert_eq!(observer.number(services, &[&first.service_id()]).await, 1);
    work.take();
    let second = timeout(LONG, incarnations.next()).await.unwrap();
    assert!(second.unwrap().is_some());
}

#[tokio::test]
async fn there_is_none_after_one_that_was_stopped() {
    let volguard = connect().await;
    let mut incarnations = volguard.register(&unique("host"), "test").incarnations();
    let session = incarnations.next().await.unwrap().unwrap();
    session.stop().await.unwrap();
    assert!(incarnations.next().await.unwrap().is_none());
}

/// Two processes of one name would fence each other for ever.
#[tokio::test]
async fn a_replaced_process_stays_away() {
    let (volguard, observer) = (connect().await, Observer::new().await);
    let registration = volguard.register(&unique("host"), "test").lease(LEASE);
    let mut incarnations = registration.clone().incarnations();
    let first = incarnations.next().await.unwrap().unwrap();
    let other = registration.clone().await.unwrap();
    let refused = timeout(LONG, incarnations.next()).await.unwrap().unwrap_err();
    let replaced_by = other.service_id();
    assert!(matches!(refused, Error::Superseded { service_id } if service_id == replaced_by), "{refused}");
    assert_eq!(first.loss(), Some(Loss::Fenced));
    assert!(other.loss().is_none());
    assert_eq!(observer.up(replaced_by).await, 1);

    // In another cluster, too, it is the process of that name.
    let elsewhere = registration.clone().cluster(&unique("cluster")).await.unwrap();
    assert_eq!(other.lost().await, Loss::Fenced);
    let refused = timeout(LONG, incarnations.next()).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::Superseded { service_id } if service_id == elsewhere.service_id()), "{refused}");

    // The other one leaves, so the name is free again.
    elsewhere.stop().await.unwrap();
    let next = incarnations.next().await.unwrap().unwrap();
    assert!(next.service_id() > replaced_by);
}

#[tokio::test]
async fn a_refusal_is_told() {
    let volguard = connect().await;
    let mut incarnations = volguard.register("", "test").incarnations();
    for _ in 0..2 {
        let refused = incarnations.next().await.unwrap_err();
        assert_eq!(crate::support::code(&refused), Some("22023"));
    }
}

/// The answers to the registration come when its lease may be over: a session that is lost from the start is not
/// returned.
#[tokio::test]
async fn a_registration_that_takes_longer_than_its_lease_fails() {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.unwrap();
    let short = Duration::from_secs(1);
    proxy.delay_replies(short);
    // In a cluster of its own, where no other session cleans up after it meanwhile.
    let registration = volguard.register(&unique("host"), "test").cluster(&unique("cluster"));
    let refused = registration.lease(short).await.unwrap_err();
    assert!(matches!(refused, Error::SessionLost(Loss::LeaseRanOut)), "{refused}");
}

/// The answer to a registration is lost: the service that it made is of this process, and no rival.
#[tokio::test]
async fn a_registration_whose_answer_is_lost_is_followed_by_another() {
    for lost in ["volguard.register_service", "volguard.heartbeat"] {
        let (proxy, observer) = (Proxy::start().await, Observer::new().await);
        let volguard = proxy.builder().connect().await.unwrap();
        let mut incarnations = volguard.register(&unique("host"), "test").lease(LEASE).incarnations();
        let first = incarnations.next().await.unwrap().unwrap();
        observer.run(&format!("SELECT volguard.deregister_service({})", first.service_id())).await;
        assert_eq!(timeout(LONG, first.lost()).await.unwrap(), Loss::Fenced);
        proxy.inject(lost, Fault::LoseReply, 1);
        let second = timeout(LONG, incarnations.next()).await.unwrap();
        assert!(proxy.struck());
        assert!(second.expect(lost).unwrap().loss().is_none());
    }
}

/// The same if the future is dropped.
#[tokio::test]
async fn a_registration_that_was_dropped_is_followed_by_another() {
    let (proxy, observer) = (Proxy::start().await, Observer::new().await);
    let volguard = proxy.builder().connect().await.unwrap();
    let host = unique("host");
    let mut incarnations = volguard.register(&host, "test").lease(LEASE).incarnations();
    let first = incarnations.next().await.unwrap().unwrap();
    observer.run(&format!("SELECT volguard.deregister_service({})", first.service_id())).await;
    assert_eq!(timeout(LONG, first.lost()).await.unwrap(), Loss::Fenced);
    proxy.inject("volguard.register_service", Fault::HoldReply, 1);
    const UP: &str = "SELECT count(*) FROM volguard.service_status WHERE host = $1 AND state = 'up'";
    tokio::select! {
        _ = incarnations.next() => panic!("not answered"),
        () = observer.until(1, async |o| o.number(UP, &[&host]).await) => {}
    }
    proxy.let_go();
    let second = timeout(LONG, incarnations.next()).await.unwrap();
    assert!(second.unwrap().unwrap().loss().is_none());
}
