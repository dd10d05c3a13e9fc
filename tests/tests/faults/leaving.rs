//! A session leaves the wait queue before its turn, in every
//! possible way: the queue moves on, and nothing stays behind.

use std::time::Duration;

use anyhow::Context;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio_postgres::{CancelToken, NoTls};
use volguard_tests::scenario::{Observer, Route, Site, Sql, Violation, sqlstate, until};

const LEASE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(30);
/// The value of `lock_timeout` and `statement_timeout`. The session's other statements are much quicker, also where the
/// machine is busy.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How a waiter's session, or its statement, ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// By the protocol's cancel request.
    Cancelled,
    /// By `pg_cancel_backend`.
    BackendCancelled,
    Terminated,
    ClientVanished,
    LockTimeout,
    StatementTimeout,
}

impl Ending {
    /// A statement for the waiter's session before it waits.
    fn setting(self) -> String {
        let timeout = TIMEOUT.as_millis();
        match self {
            Ending::LockTimeout => format!("SET lock_timeout = {timeout}"),
            Ending::StatementTimeout => format!("SET statement_timeout = {timeout}"),
            // The wait itself would set a second.
            Ending::ClientVanished => "SET client_connection_check_interval = 50".to_owned(),
            Ending::Cancelled | Ending::BackendCancelled | Ending::Terminated => String::new(),
        }
    }

    /// The waiter's error; `None` if its session is gone.
    fn sqlstate(self) -> Option<&'static str> {
        match self {
            Ending::Cancelled | Ending::BackendCancelled | Ending::StatementTimeout => Some("57014"),
            Ending::LockTimeout => Some("55P03"),
            Ending::Terminated => Some("57P01"),
            Ending::ClientVanished => None,
        }
    }

    fn is_timeout(self) -> bool {
        matches!(self, Ending::LockTimeout | Ending::StatementTimeout)
    }

    async fn bring_about(self, victim: &Victim, observer: &Observer) -> anyhow::Result<()> {
        match self {
            Ending::Cancelled => victim.cancel.cancel_query(NoTls).await?,
            Ending::BackendCancelled => signal("pg_cancel_backend", victim, observer).await?,
            Ending::Terminated => signal("pg_terminate_backend", victim, observer).await?,
            Ending::ClientVanished => victim.plug.abort(),
            Ending::LockTimeout | Ending::StatementTimeout => {}
        }
        Ok(())
    }
}

async fn signal(function: &str, victim: &Victim, observer: &Observer) -> anyhow::Result<()> {
    let signal = format!("SELECT {function}({})", victim.pid);
    Ok(observer.sql().run(&signal).await?)
}

struct Victim {
    pid: i64,
    cancel: CancelToken,
    plug: AbortHandle,
    started: Instant,
}

/// Three wait; the one at `position` leaves by `ending`; the other two are served in order.
async fn leave(position: usize, ending: Ending) -> anyhow::Result<()> {
    const WAITERS: usize = 3;
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let holder = site.sql().await?;
    let service = holder.register("holder", LEASE).await?;
    let token = holder.acquire(service, "v0", Duration::ZERO).await?.context("free")?;

    let mut waiting = Vec::new();
    let mut victim = None;
    for number in 0..WAITERS {
        let sql = site.sql().await?;
        let service = sql.register(&format!("waiter-{number}"), LEASE).await?;
        if number == position {
            let pid = sql.pid().await?;
            sql.run(&ending.setting()).await?;
            let (cancel, plug) = (sql.cancel_token(), sql.plug());
            victim = Some(Victim { pid, cancel, plug, started: Instant::now() });
        }
        waiting.push(tokio::spawn(async move {
            let token = sql.acquire(service, "v0", LONG).await;
            (sql, token)
        }));
        // A waiter whose time is over may have left before the last ones have come.
        until("the next one in the queue", async || {
            let left = waiting.get(position).is_some_and(JoinHandle::is_finished);
            let in_line = observer.in_line().await?;
            Ok((in_line == number as i64 + 1 - i64::from(left)).then_some(()))
        })
        .await?;
    }
    let victim = victim.context("one of them")?;
    ending.bring_about(&victim, &observer).await?;
    let (sql, result) = waiting.remove(position).await?;
    check(&sql, ending, victim.started, result).await?;
    observer.until_in_queue(WAITERS as i64 - 1).await?;

    let mut earlier = token;
    let mut last = holder;
    for waiter in waiting {
        last.release(earlier).await?;
        let (winner, won) = waiter.await?;
        earlier = won?.context("in time")?;
        last = winner;
    }
    last.release(earlier).await?;
    observer.until_settled(SETTLED).await
}

/// The waiter that left got the reason, and its session, if it still has one, can go on.
async fn check(
    sql: &Sql,
    ending: Ending,
    started: Instant,
    result: Result<Option<i64>, tokio_postgres::Error>,
) -> anyhow::Result<()> {
    let error = result.err().context("the lock was not free")?;
    if ending.is_timeout() && started.elapsed() < TIMEOUT {
        return Err(Violation::Early(format!("{ending:?} after {:?}", started.elapsed())).into());
    }
    let Some(expected) = ending.sqlstate() else {
        return Ok(());
    };
    assert_eq!(sqlstate(&error), expected, "{error:?}");
    if ending != Ending::Terminated {
        sql.run("SELECT 1").await?;
    }
    Ok(())
}

macro_rules! leaving {
    ($($name:ident => $ending:ident),+ $(,)?) => {
        mod at_the_head {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::leave(0, super::Ending::$ending).await
            })+
        }
        mod in_the_middle {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::leave(1, super::Ending::$ending).await
            })+
        }
    };
}

leaving!(
    a_cancelled_statement => Cancelled,
    a_statement_cancelled_by_an_operator => BackendCancelled,
    a_terminated_session => Terminated,
    a_vanished_client => ClientVanished,
    a_lock_timeout => LockTimeout,
    a_statement_timeout => StatementTimeout,
);
