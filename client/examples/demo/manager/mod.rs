//! A volume manager: a process that carries out what the API has accepted, with others like it over the same storage.

mod failure;
mod job;
mod locks;
mod rows;
mod shift;
mod zombie;

use std::sync::Arc;

use anyhow::{Result, ensure};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use volguard::Volguard;

use crate::database;
use crate::event::Event;
use crate::options::{Post, Sabotage};
use crate::schema::CLUSTER;
use crate::storage::Storage;
use shift::{Shift, ShiftEnd};

/// Operations at a time.
const HANDS: usize = 4;

/// Connections: two for each operation that waits or works, and one for the look-out.
const CONNECTIONS: usize = 2 * HANDS + 2;

#[derive(Debug)]
struct Manager {
    post: Post,
    volguard: Volguard,
    storage: Storage,
}

/// Works until told to stop by SIGTERM. A lost session is replaced by a new one.
pub async fn run(post: Post) -> Result<()> {
    die_with(post.director)?;
    let mut stop = signal(SignalKind::terminate())?;
    let fence = post.sabotage != Some(Sabotage::StorageFence);
    let manager = Arc::new(Manager {
        volguard: database::connect(&post.name, CONNECTIONS).await?,
        storage: Storage::new(&post.directory, post.latency, fence),
        post,
    });
    loop {
        let registration = manager
            .volguard
            .register(&manager.post.name, "volume-manager")
            .cluster(CLUSTER)
            .lease(manager.post.lease)
            // A shift cleans up by itself, and tells the audience.
            .janitor(None);
        let session = registration.start().await?;
        let service_id = session.service_id();
        Event::Registered { service_id }.tell()?;
        let shift = Shift::begin(Arc::clone(&manager), session).await?;
        match shift.work(&mut stop).await? {
            ShiftEnd::Stopped => return Ok(()),
            ShiftEnd::Lost(loss) => Event::Lost {
                reason: loss.to_string(),
            }
            .tell()?,
        }
    }
}

/// Has the kernel kill this process when the director ends, in whatever way, even while this process is stopped.
fn die_with(director: i32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    ensure!(parent == director, "the director is gone already");
    Ok(())
}
