//! The faults: two managers are killed, another one is paused beyond its lease, each in the middle of its work.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use volguard::Volguard;

use crate::fleet::{Fleet, Process};
use crate::notice::{Notice, Notices};
use crate::schema::CLUSTER;
use crate::storage::{Array, LATENCY, Opened};
use crate::timeline::Timeline;
use crate::volume::Volume;

/// How often a manager is looked at in the hope of two operations under way, before one is enough.
const TRIES_FOR_TWO: usize = 20;
/// Nothing locks the storage for that long, unless it is paused.
const ARRAY_PATIENCE: Duration = Duration::from_millis(250);

/// What faults need of the play.
#[derive(Debug)]
pub struct Faults<'a> {
    pub volguard: &'a Volguard,
    pub directory: &'a Path,
    pub fleet: &'a Fleet,
    pub notices: &'a Notices,
    pub timeline: &'a Timeline,
}

/// A manager in the middle of its work, and what was sent to it there.
#[derive(Clone, Debug)]
pub struct Fault {
    pub signal: &'static str,
    pub manager: String,
    /// Operations that are cut off, with their rows.
    pub opened: Vec<(Opened, Volume)>,
    /// In seconds since the demo began.
    pub at: f64,
    /// So many notices had been heard by then.
    heard: usize,
}

impl Faults<'_> {
    /// SIGKILL, in the middle of such work. The manager starts again when the others have repaired everything.
    pub async fn kill(&self, name: &str, wanted: impl Fn(&Volume) -> bool) -> Result<Fault> {
        let (process, fault) = self.catch(name, "SIGKILL", wanted).await?;
        process.kill().await?;
        self.until_repaired(&fault).await?;
        self.timeline.say(&format!("starts {name} again"));
        self.fleet.add(name)?;
        Ok(fault)
    }

    /// SIGSTOP, and SIGCONT when the others have repaired everything. Returns when the manager works as a new
    /// service.
    pub async fn pause(&self, name: &str) -> Result<Fault> {
        let (process, fault) = self.catch(name, "SIGSTOP", |_| true).await?;
        self.until_repaired(&fault).await?;
        let repaired = self.notices.count();
        self.timeline.say(&format!("lets {name} go on (SIGCONT)"));
        process.resume()?;
        self.fleet.put_back(name, process);
        self.until_at_work(name, repaired).await?;
        Ok(fault)
    }

    /// Pauses a manager in the middle of such an operation, and sees what it has open.
    async fn catch(
        &self,
        name: &str,
        signal: &'static str,
        wanted: impl Fn(&Volume) -> bool,
    ) -> Result<(Process, Fault)> {
        let process = self.fleet.take(name)?;
        let mut tries = 0;
        loop {
            self.until_at_work(name, self.notices.count()).await?;
            // Some steps later, for an operation takes several.
            sleep(LATENCY.mul_f64(fastrand::f64() * 3.0)).await;
            process.pause().await?;
            let opened = self.open_by(name).await?;
            tries += 1;
            let is_wanted = opened.iter().any(|(_, row)| wanted(row));
            if is_wanted && opened.len() > usize::from(tries <= TRIES_FOR_TWO) {
                let fault = Fault {
                    signal,
                    manager: name.to_owned(),
                    opened,
                    at: self.timeline.seconds(),
                    heard: self.notices.count(),
                };
                self.timeline.say(&fault.headline());
                return Ok((process, fault));
            }
            process.resume()?;
        }
    }

    async fn until_repaired(&self, fault: &Fault) -> Result<()> {
        let is_repaired = |row: &Volume, heard: &[Notice]| fault.repair(&row.name, heard).is_some();
        let all = |heard: &[Notice]| fault.opened.iter().all(|(_, row)| is_repaired(row, heard));
        self.notices.wait_until(all).await
    }

    /// Waits until the manager begins an operation, later than so many notices.
    async fn until_at_work(&self, name: &str, count: usize) -> Result<Notice> {
        let begins = |notice: &Notice| notice.by == name && notice.begun;
        self.notices.first(count, begins).await
    }

    /// What the manager has open in the storage. Nothing if it was paused while it had the whole array locked, which
    /// a host can't do to a real one.
    async fn open_by(&self, name: &str) -> Result<Vec<(Opened, Volume)>> {
        let sql = "SELECT service_id FROM volguard.service_status WHERE cluster = $1 AND host = $2 AND state = 'up'";
        let client = self.volguard.connection().await?;
        let Some(row) = client.query_opt(sql, &[&CLUSTER, &name]).await? else {
            return Ok(Vec::new());
        };
        let (service, directory) = (row.try_get(0)?, self.directory.to_owned());
        let look = spawn_blocking(move || anyhow::Ok(Array::lock(&directory)?.open_by(service)));
        let Ok(opened) = timeout(ARRAY_PATIENCE, look).await else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for opened in opened?? {
            let row = Volume::named(self.volguard, &opened.volume).await?;
            rows.push((opened, row));
        }
        Ok(rows)
    }
}

impl Fault {
    /// The crash rule, unless the work is retried, and the end of an operation that was cut off, once they have been
    /// heard of.
    pub fn repair<'a>(&self, volume: &str, heard: &'a [Notice]) -> Option<(Option<&'a Notice>, &'a Notice)> {
        let later = heard[self.heard..].iter().filter(|notice| notice.volume == volume);
        let rule = later.clone().find(|notice| notice.crashed);
        Some((rule, later.clone().find(|notice| notice.is_at_rest())?))
    }

    pub fn headline(&self) -> String {
        let volumes = self.opened.iter();
        let volumes: Vec<String> = volumes.map(|(_, row)| format!("{} of {}", row.task, row.name)).collect();
        let Fault { signal, manager, .. } = self;
        format!("{signal} to {manager} in the middle of {}", volumes.join(" and "))
    }
}
