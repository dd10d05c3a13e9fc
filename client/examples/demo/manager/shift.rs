//! The time from a registration to its end: take up requests, clean up after the dead, notice when the session is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use volguard::{Cleanup, Loss, Session};

use super::job::{Job, JobEnd};
use super::{HANDS, Manager};
use crate::database;
use crate::event::Event;
use crate::listener::Listener;
use crate::request::Request;
use crate::schema::{CLUSTER, OPENED};

/// Between two rounds: look for dead services, and for requests that their managers have left.
const ROUND: Duration = Duration::from_millis(1000);

#[derive(Debug)]
pub(super) enum ShiftEnd {
    Stopped,
    Lost(Loss),
}

pub(super) struct Shift {
    manager: Arc<Manager>,
    session: Session,
    opened: Listener,
    jobs: JoinSet<(i64, Result<JobEnd>)>,
    /// Requests that are being worked on here, or are not to be tried before the next round.
    out_of_reach: HashSet<i64>,
    busy: HashSet<i64>,
}

impl Shift {
    pub(super) async fn begin(manager: Arc<Manager>, session: Session) -> Result<Shift> {
        let opened = Listener::on(OPENED, &database::config(&manager.post.name)?).await?;
        Ok(Shift {
            manager,
            session,
            opened,
            jobs: JoinSet::new(),
            out_of_reach: HashSet::new(),
            busy: HashSet::new(),
        })
    }

    pub(super) async fn work(mut self, stop: &mut Signal) -> Result<ShiftEnd> {
        let session = self.session.clone();
        let mut next_round = Instant::now();
        loop {
            tokio::select! {
                _ = stop.recv() => {
                    self.finish_jobs().await?;
                    session.stop().await?;
                    return Ok(ShiftEnd::Stopped);
                }
                loss = session.lost() => {
                    self.finish_jobs().await?;
                    return Ok(ShiftEnd::Lost(loss));
                }
                opened = self.opened.next() => drop(opened?),
                Some(ended) = self.jobs.join_next() => self.note_end(ended?)?,
                () = sleep_until(next_round) => {
                    self.clean_up().await?;
                    self.out_of_reach.clear();
                    // Managers that go round at the same moment would only get in each other's way.
                    next_round = Instant::now() + ROUND.mul_f64(rand::rng().random_range(0.5..1.5));
                }
            }
            self.take_up().await?;
        }
    }

    /// Takes the oldest requests that nobody has, as many as there are hands free.
    async fn take_up(&mut self) -> Result<()> {
        let free = HANDS - self.jobs.len();
        if free == 0 {
            return Ok(());
        }
        let known = self.busy.len() + self.out_of_reach.len();
        let unclaimed = Request::unclaimed(self.manager.volguard.pool(), free + known).await?;
        let new = unclaimed
            .into_iter()
            .filter(|id| !self.busy.contains(id) && !self.out_of_reach.contains(id));
        for request in new.take(free).collect::<Vec<_>>() {
            self.busy.insert(request);
            let job = Job {
                manager: Arc::clone(&self.manager),
                session: self.session.clone(),
                request,
            };
            self.jobs.spawn(async move { (request, job.run().await) });
        }
        Ok(())
    }

    fn note_end(&mut self, (request, end): (i64, Result<JobEnd>)) -> Result<()> {
        self.busy.remove(&request);
        if end? == JobEnd::Left {
            self.out_of_reach.insert(request);
        }
        Ok(())
    }

    async fn finish_jobs(&mut self) -> Result<()> {
        while let Some(ended) = self.jobs.join_next().await {
            self.note_end(ended?)?;
        }
        Ok(())
    }

    async fn clean_up(&self) -> Result<()> {
        let request = Cleanup::all().cluster(CLUSTER);
        for service in self.manager.volguard.cleanup(request).await? {
            Event::Cleaned {
                host: service.host,
                locks: service.locks_released,
                resources: service.resources_cleaned,
                stale: service.resources_stale,
            }
            .tell()?;
        }
        Ok(())
    }
}
