//! Takes a lock, works under it, and gives it back.
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example lock

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;
use volguard::{Error, Held, Session, Volguard};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let volguard = Volguard::connect(&url).await?;
    // One session a process. It sends heartbeats; 10 seconds after the last one the process counts as dead.
    let session = volguard.register("node-1", "example-lock").lease(Duration::from_secs(10)).await?;
    let volume = ("example-volume", "vol-17");
    // Takes the lock, runs the work under it, and releases the lock. The work ends with the lock: should the lease run
    // out, the work is dropped at its next await.
    let copied = session.with_lock(volume, Duration::from_secs(5), |lock| copy(&session, lock)).await;
    match copied {
        Ok(Some(copied)) => println!("{} MiB copied", copied?),
        Ok(None) => println!("locked by another session"),
        Err(Error::SessionLost(loss)) => println!("stopped in the middle: {loss}"),
        Err(error) => return Err(error.into()),
    }

    // The same in steps. Without `wait`, the answer comes at once.
    let lock = session.acquire(volume).await?.context("it was released")?;
    println!("released: {}", lock.release().await?);
    // Leaves in order. A process that ends without this is cleaned up after its lease.
    session.stop().await?;
    Ok(())
}

/// Stands for the work: some steps with an await in each.
async fn copy(session: &Session, lock: Held) -> Result<u32> {
    // A storage that remembers the largest token of each volume can refuse smaller ones.
    println!("{} is locked, token {}", lock.resource_id(), lock.token());
    let second = session.acquire((lock.resource_type(), lock.resource_id())).await?;
    println!("granted a second time: {}", second.is_some());
    for _ in 0..4 {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(4)
}
