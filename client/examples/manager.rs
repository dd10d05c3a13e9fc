//! A volume manager. Any number of them share the work, and repair what those leave that die. SIGTERM stops it.
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example manager -- node-1

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use volguard::update::column;
use volguard::{Error, Session, Volguard, WorkOutcome};

const VOLUMES: &str = "volguard_example.volumes";
const SETUP: &str = "
    CREATE SCHEMA IF NOT EXISTS volguard_example;
    CREATE TABLE IF NOT EXISTS volguard_example.volumes (id text PRIMARY KEY, size integer, status text);
    INSERT INTO volguard_example.volumes VALUES ('vol-1', 1, 'waiting') ON CONFLICT DO NOTHING;
    SELECT volguard.track_resource('example', 'volguard_example.volumes');";
const WAITING: &str = "SELECT id FROM volguard_example.volumes WHERE status = 'waiting'";

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let host = std::env::args().nth(1).context("name this host")?;
    let mut stop = signal(SignalKind::terminate())?;
    let volguard = Volguard::connect(&url).await?;
    volguard.connection().await?.batch_execute(SETUP).await?;
    // Others repair the work of this process when it has not sent a heartbeat for 10 seconds.
    let mut incarnations = volguard.register(&host, "example").lease(Duration::from_secs(10)).incarnations();
    while let Some(session) = incarnations.next().await? {
        let work = async {
            tokio::select! {
                served = serve(&volguard, &session, &mut stop) => served,
                repaired = repair(&volguard, &session) => Ok(repaired?),
            }
        };
        // Dropped at its next await when the session is lost, to a pause or a broken network. A new one follows.
        if let Ok(worked) = session.run(work).await {
            worked?;
            session.stop().await?;
        }
    }
    println!("{host} has left");
    Ok(())
}

async fn serve(volguard: &Volguard, session: &Session, stop: &mut Signal) -> Result<()> {
    loop {
        tokio::select! {
            _ = stop.recv() => return Ok(()), // never in the middle of work
            () = sleep(Duration::from_millis(200)) => {}
        }
        let waiting = volguard.connection().await?.query(WAITING, &[]).await?;
        for row in waiting {
            extend(session, row.try_get(0)?).await?;
        }
    }
}

/// A volume whose manager has died in the middle of extending it waits once more.
async fn repair(volguard: &Volguard, session: &Session) -> Result<(), Error> {
    let mut claims = session.claims().resource_type("example").every(Duration::from_secs(1));
    while let Some(work) = claims.next().await? {
        let status = &work.row().status;
        println!("{} was {status}", work.resource_id());
        let update = volguard.update(VOLUMES).key("id", work.resource_id()).expect("status", status);
        let outcome = update.set("status", "waiting").fenced_by(&work).await?;
        println!("{} waits again: {}", work.resource_id(), outcome.is_updated());
        work.finish_cleanup().await?;
    }
    Ok(())
}

async fn extend(session: &Session, volume: &str) -> Result<()> {
    // The lock and the status, in one commit. Otherwise another manager was faster.
    let start = session.start_work("example", volume).expect("status", "waiting").set("status", "extending");
    if let WorkOutcome::Started(mut work) = start.await? {
        println!("extending {volume}, token {}", work.token());
        sleep(Duration::from_millis(500)).await; // stands for the work
        let outcome = work.finish().set("status", "available").set("size", column("size") + 1).await?;
        println!("extended {volume}: {}", outcome.is_updated());
    }
    Ok(())
}
