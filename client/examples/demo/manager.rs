//! A volume manager: a process that takes the work that the API submits, with others like it over the same storage.

mod job;
mod zombie;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;
use volguard::{Error, Session, Volguard, Work, WorkStream, sql};

use self::job::{Job, is_loss};
use crate::database;
use crate::operation::Operation;
use crate::options::{Guard, Post};
use crate::schema::{CLUSTER, VOLUME, VOLUMES};
use crate::storage::Storage;
use crate::timeline::Timeline;
use crate::volume::Volume;

/// After so long without a heartbeat a manager counts as dead.
const LEASE: Duration = Duration::from_millis(2500);
/// How often a manager looks whether another one has died.
const ROUND: Duration = Duration::from_secs(1);
/// Operations at a time.
const HANDS: usize = 4;

#[derive(Debug)]
struct Manager {
    post: Post,
    timeline: Timeline,
    volguard: Volguard,
    storage: Storage,
}

/// Works until told to stop by SIGTERM. When its session is lost it goes on as a new service.
pub async fn run(post: Post) -> Result<()> {
    die_with(post.director)?;
    let mut stop = signal(SignalKind::terminate())?;
    let timeline = Timeline::new(&post.name, post.began);
    let manager = Arc::new(Manager {
        timeline,
        volguard: database::connect(&post.name).await?,
        storage: Storage::new(&post)?,
        post,
    });
    if manager.is_without(Guard::Lock) {
        let own = manager.own_type();
        let connection = manager.volguard.connection().await?;
        sql::track_resource(&connection, &own, VOLUMES, "name", "status").await?;
    }
    let registration = manager.volguard.register(&manager.post.name, "volume-manager");
    let mut incarnations = registration.cluster(CLUSTER).lease(LEASE).janitor(ROUND).incarnations();
    while let Some(session) = incarnations.next().await? {
        let service = session.service_id();
        manager.timeline.say(&format!("is service {service}"));
        let is_stopped = manager.serve(&session, &mut stop).await?;
        if is_stopped {
            return match session.stop().await {
                Ok(_) | Err(Error::SessionLost(_)) => Ok(()),
                // Not within its lease: it ends like one that has crashed, without work.
                Err(error) if error.is_retryable() => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
    }
    Ok(())
}

impl Manager {
    /// Takes work until told to stop (`true`), or until the session is lost (`false`). Waits for the jobs that were
    /// begun; if the session is lost, they stop where they are.
    async fn serve(self: &Arc<Self>, session: &Session, stop: &mut Signals) -> Result<bool> {
        let operations = Operation::ALL.map(Operation::name);
        let mut stream = session.work(&operations).resource_type(VOLUME).concurrency(HANDS);
        let mut jobs = JoinSet::new();
        let is_stopped = loop {
            tokio::select! {
                _ = stop.recv() => break true,
                next = self.next(session, &mut stream) => match next {
                    Ok(Some(work)) => drop(jobs.spawn(Job::new(self, session, work).run())),
                    Ok(None) => break true,
                    Err(error) if is_loss(&error) => break false,
                    Err(error) => return Err(error.into()),
                },
                Some(ended) = jobs.join_next() => ended??,
            }
        };
        // Work that it has got meanwhile goes back into the queue.
        drop(stream);
        while let Some(ended) = jobs.join_next().await {
            ended??;
        }
        Ok(is_stopped)
    }

    async fn next(&self, session: &Session, stream: &mut WorkStream) -> Result<Option<Work>, Error> {
        match self.is_without(Guard::Lock) {
            true => self.help_oneself(session).await.map(Some),
            false => stream.next().await,
        }
    }

    /// For `--break lock`: takes up what the table says is to be done, under a lock that no other manager asks for.
    async fn help_oneself(&self, session: &Session) -> Result<Work, Error> {
        loop {
            sleep(ROUND / 10).await;
            for volume in Volume::busy(&self.volguard).await.unwrap_or_default() {
                let start = session.start_work(&self.own_type(), &volume.name).set("status", &volume.status);
                if let Some(work) = start.await?.started() {
                    return Ok(work);
                }
            }
        }
    }

    /// For `--break lock`: of resources that this manager locks for itself alone.
    fn own_type(&self) -> String {
        format!("{VOLUME} of {}", self.post.name)
    }

    fn is_without(&self, guard: Guard) -> bool {
        self.post.broken == Some(guard)
    }
}

/// Has the kernel kill this process when the director ends, in whatever way, even while this process is paused.
fn die_with(director: i32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    ensure!(parent == director, "the director is gone already");
    Ok(())
}
