//! What the tests share: a database, clusters of their own, and ways to look at the server past the client.

mod database;
mod log;
mod observer;
mod proxy;
mod stage;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use uuid::Uuid;
use volguard::{Builder, Error, Key, Session, StatementMode, Volguard};

pub(crate) use database::Database;
pub(crate) use log::Log;
pub(crate) use observer::Observer;
pub(crate) use proxy::{Fault, Proxy};
pub(crate) use stage::{Stage, next, nothing};

/// Longer than any call takes that succeeds.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Long enough to tell "blocked" from "under way".
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// Short enough to be waited for, and long enough that a session keeps it on a busy machine: it is lost when its
/// heartbeat is five seconds late.
pub(crate) const LEASE: Duration = Duration::from_secs(9);

/// The server itself.
pub(crate) fn direct() -> tokio_postgres::Config {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL; run the tests under with-postgres");
    url.parse().expect("DATABASE_URL")
}

/// Where clients connect: `POOLER_URL` puts a pooler in transaction mode in between.
pub(crate) fn config() -> tokio_postgres::Config {
    match std::env::var("POOLER_URL") {
        Ok(pooler) => pooler.parse().expect("POOLER_URL"),
        Err(_) => direct(),
    }
}

/// Settings of a client.
pub(crate) fn client() -> Builder {
    let mode = match std::env::var_os("POOLER_URL") {
        Some(_) => StatementMode::Unnamed,
        None => StatementMode::Prepared,
    };
    patient().config(config()).statement_mode(mode)
}

/// Waits longer for a connection than a busy machine takes.
pub(crate) fn patient() -> Builder {
    Volguard::builder().connect_timeout(LONG)
}

/// Settings of a client whose connections the server shows under `name`.
pub(crate) fn named(name: &str) -> Builder {
    let mut config = config();
    config.application_name(name);
    client().config(config)
}

/// The same, past any pooler: for tests of what the server is left with, such as statements, which a pooler hides.
pub(crate) fn named_direct(name: &str) -> Builder {
    let mut config = direct();
    config.application_name(name);
    patient().config(config)
}

pub(crate) async fn connect() -> Volguard {
    client().connect().await.expect("a client")
}

pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", Uuid::new_v4().simple())
}

/// An id that belongs to the running test: a lock has no cluster, and all tests share one table of locks.
pub(crate) fn own(id: &str) -> String {
    static RUN: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    let thread = std::thread::current();
    let test = thread.name().expect("tests run in threads of their own, named after them");
    format!("{}/{test}/{id}", RUN.simple())
}

/// A volume that belongs to the running test.
pub(crate) fn key(id: &str) -> Key {
    Key::from(("volume", own(id)))
}

/// What was made an id of a test by [`own`].
pub(crate) fn plain(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// The SQLSTATE that the server refused with.
pub(crate) fn code(error: &Error) -> Option<&str> {
    error.sqlstate().map(SqlState::code)
}

/// A session alone in its cluster.
pub(crate) async fn session(volguard: &Volguard) -> Session {
    session_in(volguard, &unique("cluster")).await
}

pub(crate) async fn session_in(volguard: &Volguard, cluster: &str) -> Session {
    volguard.register(&unique("host"), "test").cluster(cluster).lease(Duration::from_secs(30)).await.expect("a session")
}

/// Waits until the next heartbeat has succeeded.
pub(crate) async fn beats(session: &Session) {
    let before = session.lost_at();
    while session.lost_at() <= before {
        assert_eq!(session.loss(), None);
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the session has outlived the lease that it has now.
pub(crate) async fn outlives_its_lease(session: &Session) {
    let end = session.lost_at() + session.lease();
    while session.lost_at() < end {
        assert_eq!(session.loss(), None);
        sleep(Duration::from_millis(5)).await;
    }
}

/// The date at that moment. Between the two readings of clocks the process may be put aside, which makes the date
/// later.
pub(crate) fn date(moment: Instant) -> SystemTime {
    let look = || {
        let (now, date) = (Instant::now(), SystemTime::now());
        date + moment.saturating_duration_since(now) - now.saturating_duration_since(moment)
    };
    (0..5).map(|_| look()).min().expect("five looks")
}

/// Polls a future at most so often, then drops it. Returns what it had by then.
pub(crate) async fn poll_times<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// A session whose connections lead through a proxy.
pub(crate) async fn behind_a_proxy() -> (Proxy, Volguard, Session) {
    let proxy = Proxy::start().await;
    let volguard = proxy.builder().connect().await.expect("a client");
    let session = session(&volguard).await;
    (proxy, volguard, session)
}
