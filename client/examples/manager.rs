//! A volume manager. Any number of them share the work, and repair what those leave that die. SIGTERM stops it.
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example manager -- node-1

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use volguard::{Janitor, Session, Volguard, WorkOutcome, column};

const VOLUMES: &str = "volguard_example.volumes";
const SETUP: &str = "
    CREATE SCHEMA IF NOT EXISTS volguard_example;
    CREATE TABLE IF NOT EXISTS volguard_example.volumes (id text PRIMARY KEY, size integer, status text);
    INSERT INTO volguard_example.volumes VALUES ('vol-1', 1, 'waiting') ON CONFLICT DO NOTHING;";
const WAITING: &str = "SELECT id FROM volguard_example.volumes WHERE status = 'waiting'";

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let host = std::env::args().nth(1).context("name this host")?;
    let mut stop = signal(SignalKind::terminate())?;
    let volguard = Volguard::connect(&url).await?;
    volguard.pool().get().await?.batch_execute(SETUP).await?;
    volguard.track_resource("example", VOLUMES).await?;
    // When a manager dies in the middle of extending a volume, the volume waits once more.
    let rule = volguard.on_crash("example", "extending");
    rule.set("status", "waiting").await?;
    // Others repair the work of this process when it has not sent a heartbeat for 2 seconds.
    let registration = volguard.register(&host, "example");
    let registration = registration.lease(Duration::from_secs(2));
    let janitor = Janitor::every(Duration::from_secs(1));
    let mut incarnations = registration.janitor(janitor).incarnations();
    while let Some(session) = incarnations.next().await? {
        // Dropped at its next await when the session is lost, to a pause or a broken network. A new one follows.
        if let Ok(served) = session.run(serve(&volguard, &session, &mut stop)).await {
            served?;
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
        let client = volguard.pool().get().await?;
        for row in client.query(WAITING, &[]).await? {
            extend(session, row.try_get(0)?).await?;
        }
    }
}

async fn extend(session: &Session, volume: &str) -> Result<()> {
    // The lock and the status, in one commit. Otherwise another manager was faster.
    let start = session.start_work("example", volume);
    let start = start.expect("status", "waiting").set("status", "extending");
    if let WorkOutcome::Started(mut work) = start.await? {
        println!("extending {volume}, token {}", work.token());
        sleep(Duration::from_millis(500)).await; // stands for the work
        let finish = work.finish().set("status", "available");
        let outcome = finish.set("size", column("size") + 1).await?;
        println!("extended {volume}: {}", outcome.is_updated());
    }
    Ok(())
}
