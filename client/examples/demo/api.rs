//! The users of the API: each looks, thinks, asks for something, and waits until it is over. Two requests often
//! exclude each other. The API submits work; it is no service, and has no lock.

mod request;
mod tally;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use volguard::Volguard;

use self::request::{Answer, GRACE, Request};
pub use self::tally::{Ending, Tally};
use crate::notice::{Notice, Notices};
use crate::operation::Operation;
use crate::options::Plan;
use crate::schema::DAMAGED;
use crate::volume::Volume;

const USERS: usize = 12;
/// Milliseconds between a look and the request. Others ask for something meanwhile.
const THOUGHT: std::ops::Range<u64> = 150..850;
/// How many of the deletes their users would rather take back.
const REGRETS: f64 = 0.4;

#[derive(Clone, Debug)]
pub struct Api {
    volguard: Volguard,
    notices: Notices,
    tally: Arc<Mutex<Tally>>,
}

impl Api {
    pub fn new(volguard: Volguard, notices: Notices) -> Api {
        Api { volguard, notices, tally: Arc::default() }
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has users ask for operations, and for more until `enough` says so. Returns when all of these are over.
    pub async fn serve(&self, plan: &Plan, enough: watch::Receiver<bool>) -> Result<()> {
        let mut seeds = Rng::with_seed(plan.seed);
        let mut users = JoinSet::new();
        for _ in 0..USERS {
            let (api, dice) = (self.clone(), seeds.fork());
            users.spawn(api.user(dice, plan.operations, enough.clone()));
        }
        while let Some(ended) = users.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn user(self, mut dice: Rng, operations: u64, enough: watch::Receiver<bool>) -> Result<()> {
        loop {
            let volumes = Volume::all(&self.volguard).await?;
            // The pace of the load, not a wait for anything.
            sleep(Duration::from_millis(dice.u64(THOUGHT))).await;
            if *enough.borrow() && self.tally().submitted() >= operations {
                return Ok(());
            }
            let mut request = Request::choose(&volumes, &mut dice);
            while let Some(damaged) = self.ask(&request, &mut dice).await? {
                request = Request::repair(damaged, &mut dice);
            }
        }
    }

    /// Asks for it, and waits until it is over. Returns the volume if it is to be repaired.
    async fn ask(&self, request: &Request, dice: &mut Rng) -> Result<Option<Volume>> {
        self.tally().submit(request);
        let work_id = match request.send(&self.volguard).await? {
            Answer::Accepted(work_id) => work_id,
            Answer::Refused(reasons) => {
                self.tally().refuse(request, reasons);
                let Some(damaged) = request.to_repair() else { return Ok(None) };
                // Another request had the volume at that moment, if only to be refused itself. It is asked for again:
                // a volume must not stay damaged.
                sleep(Duration::from_millis(dice.u64(THOUGHT))).await;
                let volume = Volume::named(&self.volguard, &damaged.name).await?;
                return Ok((volume.status == DAMAGED).then_some(volume));
            }
        };
        if request.operation == Operation::Delete && dice.f64() < REGRETS {
            // Sometimes too late.
            sleep(GRACE.mul_f64(dice.f64() * 1.2)).await;
            if request.cancel(&self.volguard, work_id).await? {
                self.tally().end(request, Ending::Cancelled);
                return Ok(None);
            }
        }
        let is_end = |notice: &Notice| notice.request == request.id && notice.is_end();
        let end = self.notices.first(0, is_end).await?;
        if !end.crashed {
            self.tally().end(request, Ending::Done);
            return Ok(None);
        }
        self.tally().end(request, Ending::RolledBack);
        Volume::named(&self.volguard, &end.volume).await.map(Some)
    }
}
