//! A volume manager under the contract of docs/write-a-client.md: `make conformance` plays faults on it.
//!
//!     DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 cargo run -p volguard --example conforming

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use volguard::tokio_postgres::types::Type;
use volguard::{Error, Loss, Session, StatementMode, UpdateOutcome, Volguard, Work};

const STEP: Duration = Duration::from_millis(50);
const WAIT: Duration = Duration::from_secs(10);

/// What was submitted with a piece of work.
#[derive(Deserialize)]
struct Details {
    milliseconds: u64,
    size: i32,
}

/// What became of a piece of work.
enum Ending {
    Done,
    Refused,
    GivenBack,
}

#[derive(Clone)]
struct Manager {
    volguard: Volguard,
    session: Session,
    host: String,
    stopping: watch::Receiver<bool>,
}

// One thread: nothing is said between the loss of the lease and the end of the process.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let variable = |name: &'static str| std::env::var(name).context(name);
    let (url, host) = (variable("DATABASE_URL")?, variable("VOLGUARD_HOST")?);
    let lease = variable("VOLGUARD_LEASE").unwrap_or_else(|_| "10000".to_owned());
    let lease = Duration::from_millis(lease.parse().context("VOLGUARD_LEASE")?);
    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, stopping) = watch::channel(false);

    // Statements without names also pass through PgBouncer in transaction mode.
    let volguard = Volguard::builder().url(&url).statement_mode(StatementMode::Unnamed).connect().await?;
    let session = volguard.register(&host, "manager").lease(lease).janitor(lease / 3).await?;
    println!("registered {}", session.service_id());
    tokio::spawn(async move {
        terminate.recv().await;
        stop.send_replace(true);
    });
    let manager = Manager { volguard, session: session.clone(), host, stopping };
    let left = tokio::select! {
        biased;
        () = is_lost(&session) => false,
        served = manager.serve() => match served {
            // The server must have heard of it. Otherwise the lease ends, as after a crash.
            Ok(()) => session.stop().await.is_ok(),
            Err(Error::SessionLost(_) | Error::ServiceFenced(_)) => false,
            Err(error) => return Err(error.into()),
        },
    };
    println!("{}", if left { "stopped" } else { "lost" });
    // Without the destructors: they would wait for what still runs.
    std::process::exit(if left { 0 } else { 3 })
}

/// Resolves when the lease is lost. A session that is being stopped tells that by the result of the stop.
async fn is_lost(session: &Session) {
    if session.lost().await == Loss::Stopped {
        std::future::pending::<()>().await;
    }
}

impl Manager {
    /// Takes and does work until SIGTERM.
    async fn serve(&self) -> Result<(), Error> {
        let (manager, mut stopping) = (self.clone(), self.stopping.clone());
        let extend = move |work| {
            let manager = manager.clone();
            async move {
                if let Err(error) = manager.extend(work).await {
                    eprintln!("a piece is left to a cleanup: {error:#}");
                }
            }
        };
        let stop = async move {
            // The sender lives as long as the process.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        self.session.serve().resource_type("volume").on("extend", extend).until(stop).await
    }

    async fn extend(&self, mut work: Work) -> Result<()> {
        // Its own book-keeping, one piece at a time, also after a restart whose predecessor still lives.
        let log = loop {
            if let Some(log) = self.session.acquire(("manager-log", &*self.host)).wait(WAIT).await? {
                break log;
            }
        };
        let (token, volume) = (work.token(), work.resource_id().to_owned());
        println!("begin {token} {volume}");
        match self.steps(&mut work).await? {
            Ending::Done => println!("end {token} {volume}"),
            Ending::Refused => println!("refused {token} {volume}"),
            Ending::GivenBack => {
                work.release().await?;
            }
        }
        // An error is no loss: the release goes on in the background.
        let _ = log.release().await;
        Ok(())
    }

    async fn steps(&self, work: &mut Work) -> Result<Ending> {
        let Details { milliseconds, size } = work.details()?.context("details")?;
        let (begun, takes) = (Instant::now(), Duration::from_millis(milliseconds));
        if !self.work_until(begun + takes / 2).await {
            return Ok(Ending::GivenBack);
        }
        loop {
            let volumes = self.volguard.update("app.volumes").key("id", work.resource_id());
            match volumes.set("size", size).fenced_by(work).await {
                Ok(UpdateOutcome::Updated(_)) => break,
                Ok(UpdateOutcome::Fenced) | Err(Error::SessionLost(_)) => return Ok(Ending::Refused),
                Ok(outcome) => anyhow::bail!("{outcome:?}"),
                // To write the same once more does no harm.
                Err(error) if error.is_retryable() => sleep(STEP).await,
                Err(error) => return Err(error.into()),
            }
        }
        if !self.work_until(begun + takes).await {
            return Ok(Ending::GivenBack);
        }
        let volume = work.resource_id().to_owned();
        match work.finish().set("status", "available").await {
            Ok(UpdateOutcome::Updated(_)) => Ok(Ending::Done),
            Ok(UpdateOutcome::Fenced) | Err(Error::SessionLost(_)) => Ok(Ending::Refused),
            Ok(outcome) => anyhow::bail!("{outcome:?}"),
            // Its answer was lost, and the lock is gone: the row tells why.
            Err(error) if error.is_retryable() => {
                Ok(if self.is_done(&volume, size).await? { Ending::Done } else { Ending::Refused })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Stands for the work. The session looks at its lease before each step. Returns false if it has to stop earlier.
    async fn work_until(&self, end: Instant) -> bool {
        while Instant::now() < end {
            let left = end - Instant::now();
            let until_lost = self.session.lost_at().saturating_duration_since(Instant::now());
            if *self.stopping.borrow() && left > until_lost / 2 {
                return false;
            }
            sleep(STEP.min(left)).await;
        }
        true
    }

    async fn is_done(&self, volume: &str, size: i32) -> Result<bool> {
        let look = "SELECT status = 'available' AND size = $2 FROM app.volumes WHERE id = $1";
        let connection = self.volguard.connection().await?;
        let rows = connection.query_typed(look, &[(&volume, Type::TEXT), (&size, Type::INT4)]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }
}
