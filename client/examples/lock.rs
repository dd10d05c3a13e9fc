//! Takes a lock, works under it, and gives it back.
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example lock

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;
use volguard::{Session, Volguard};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let volguard = Volguard::connect(&url).await?;
    // One session a process. It sends heartbeats; 10 seconds after the last one the process counts as dead.
    let session = volguard.register("node-1", "example-lock").lease(Duration::from_secs(10)).start().await?;
    work_on(&session, "vol-17").await?;
    // Leaves in order. A process that ends without this is cleaned up after its lease.
    session.stop().await?;
    Ok(())
}

async fn work_on(session: &Session, volume: &str) -> Result<()> {
    let acquire = session.acquire("example-volume", volume);
    let Some(lock) = acquire.wait(Duration::from_secs(5)).await? else {
        println!("{volume} is locked by another session");
        return Ok(());
    };
    // A storage that remembers the largest token of each volume can refuse smaller ones.
    println!("{volume} is locked, token {}", lock.token());

    // The second request does not wait.
    let second = session.acquire("example-volume", volume).await?;
    println!("granted a second time: {}", second.is_some());

    // The work ends with the lock: should the lease run out, it is dropped at its next await.
    match lock.run(copy(volume)).await {
        Ok(copied) => println!("{copied} MiB copied"),
        Err(loss) => println!("stopped in the middle: {loss}"),
    }
    let was_held = lock.release().await?;
    println!("released: {was_held}");
    Ok(())
}

/// Stands for the work: some steps with an await in each.
async fn copy(_volume: &str) -> u32 {
    for _ in 0..4 {
        sleep(Duration::from_millis(50)).await;
    }
    4
}
