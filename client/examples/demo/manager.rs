//! A volume manager: a process that carries out what the API has accepted, with others like it over the same storage.

mod job;
mod zombie;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::interval;
use volguard::{Error, Session, Volguard, sql};

use self::job::Job;
use crate::database;
use crate::notice::Notices;
use crate::options::{Guard, Post};
use crate::schema::{CLUSTER, VOLUME, VOLUMES};
use crate::storage::Storage;
use crate::timeline::Timeline;
use crate::volume::Volume;

/// After so long without a heartbeat a manager counts as dead.
const LEASE: Duration = Duration::from_millis(2500);
/// How often a manager looks whether another one has died, and for work that no notification tells of.
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
    let mut notices = Notices::listen(timeline.clone()).await?;
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
        let is_stopped = manager.serve(&session, &mut notices, &mut stop).await?;
        if is_stopped {
            return match session.stop().await {
                Ok(_) | Err(Error::SessionLost(_)) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
    }
    Ok(())
}

impl Manager {
    /// Takes up work until told to stop (`true`), or until the session is lost (`false`). Waits for the jobs that
    /// were begun; if the session is lost, they stop where they are.
    async fn serve(self: &Arc<Self>, session: &Session, notices: &mut Notices, stop: &mut Signals) -> Result<bool> {
        let mut jobs = JoinSet::new();
        let mut round = interval(ROUND);
        let is_stopped = loop {
            tokio::select! {
                _ = stop.recv() => break true,
                _ = session.lost() => break false,
                news = notices.changed() => news?,
                Some(ended) = jobs.join_next() => ended??,
                _ = round.tick() => {}
            }
            self.take_up(session, &mut jobs).await?;
        };
        while let Some(ended) = jobs.join_next().await {
            ended??;
        }
        Ok(is_stopped)
    }

    /// Takes up what waits, as much as there are hands free.
    async fn take_up(self: &Arc<Self>, session: &Session, jobs: &mut JoinSet<Result<()>>) -> Result<()> {
        for volume in Volume::waiting(&self.volguard).await? {
            if jobs.len() >= HANDS {
                break;
            }
            if let Some(job) = Job::begin(self, session, &volume).await? {
                jobs.spawn(job.run());
            }
        }
        Ok(())
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
