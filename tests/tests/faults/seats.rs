//! So many calls wait at a time, and no more. On servers of their own: seats are those of a server.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use volguard_tests::scenario::{Observer, Sql, Violation, sqlstate, until};
use volguard_tests::{PrivateServer, Profile};

use crate::server::{manager, server};

const LEASE: Duration = Duration::from_secs(300);
const LONG: Duration = Duration::from_secs(60);
const SEATS: usize = 3;

type Waiting = JoinHandle<Result<Option<i64>, tokio_postgres::Error>>;

async fn wait(server: &PrivateServer, service: i64, wait: Duration) -> anyhow::Result<Waiting> {
    let sql = Sql::connect(&manager(server)).await?;
    Ok(tokio::spawn(async move {
        let token = sql.acquire(service, "v0", wait).await?;
        if let Some(token) = token {
            sql.release(token).await?;
        }
        Ok(token)
    }))
}

async fn one_more_is_refused(server: &PrivateServer) -> anyhow::Result<()> {
    server.psql(&format!("ALTER DATABASE volguard SET volguard.max_waiters = {SEATS}"))?;
    let observer = Observer::of(&server.url()).await?;
    let sql = Sql::connect(&manager(server)).await?;
    let service = sql.register("a", LEASE).await?;
    let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let mut line = Vec::new();
    for number in 1..=SEATS {
        line.push(wait(server, service, LONG).await?);
        observer.until_in_queue(number as i64).await?;
    }
    let one_more = wait(server, service, Duration::from_millis(100)).await?.await?;
    match one_more {
        Ok(_) => return Err(Violation::Waiting("a call waited without a seat").into()),
        Err(error) => {
            let report = error.as_db_error().context("an error of the server")?;
            assert_eq!(report.code().code(), "53300");
            assert_eq!(report.message(), "3 calls wait already, and volguard.max_waiters allows no more");
            assert!(report.hint().is_some_and(|hint| hint.contains("a connection pool of their own")), "{report:?}");
        }
    }
    // Calls that don't wait need no seat, with a wait or without.
    assert_eq!(sql.acquire(service, "v0", Duration::ZERO).await?, None);
    let free = sql.acquire(service, "v1", LONG).await?.context("free")?;
    sql.release(free).await?;
    // Each wait that ends, in whatever way, leaves its seat.
    for waiting in line {
        let victim = observer.sql().number("SELECT pid FROM volguard.waiters ORDER BY place DESC LIMIT 1").await?;
        let victim = victim.context("a waiter")?;
        observer.sql().run(&format!("SELECT pg_cancel_backend({victim})")).await?;
        // It has left its wait before it gives its seat back.
        let gone = format!("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE pid = {victim})");
        until("the end of a call", async || Ok(observer.sql().holds(&gone).await?.then_some(()))).await?;
        let next = wait(server, service, LONG).await?;
        observer.until_in_queue(SEATS as i64).await?;
        drop((waiting, next));
    }
    sql.release(token).await?;
    observer.until_settled(Duration::from_secs(20)).await?;
    let seats = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 22096";
    assert_eq!(observer.sql().number(seats).await?, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_too_many_is_refused() -> anyhow::Result<()> {
    one_more_is_refused(&server(Profile::Debug)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_seats_any_number_waits() -> anyhow::Result<()> {
    let server = server(Profile::Sabotage)?;
    server.psql("ALTER DATABASE volguard SET volguard.sabotage = 'Seat'")?;
    let violation = Violation::expected_in(one_more_is_refused(&server).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

/// A refused call can be made again in its transaction, after a savepoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_leaves_no_seat_behind() -> anyhow::Result<()> {
    let server = server(Profile::Debug)?;
    server.psql("ALTER DATABASE volguard SET volguard.max_waiters = 1")?;
    let observer = Observer::of(&server.url()).await?;
    let sql = Sql::connect(&manager(&server)).await?;
    let service = sql.register("a", LEASE).await?;
    let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let waiting = wait(&server, service, LONG).await?;
    observer.until_asleep(1).await?;
    let other = Sql::connect(&manager(&server)).await?;
    let call = format!("SELECT volguard.acquire({service}, 'volume', 'v0', wait => '60 s')");
    other.run("BEGIN; SAVEPOINT s").await?;
    assert_eq!(sqlstate(&other.run(&call).await.expect_err("no seat")), "53300");
    other.run("ROLLBACK TO s").await?;
    sql.release(token).await?;
    waiting.await??.context("in time")?;
    assert!(other.number(&call).await?.is_some());
    other.run("ROLLBACK").await?;
    observer.until_settled(Duration::from_secs(20)).await
}
