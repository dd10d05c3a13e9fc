//! The users of the API: each looks, thinks, asks for something, and waits until it is over. Two requests often
//! exclude each other.

mod request;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use volguard::Volguard;

use self::request::Request;
use crate::notice::{Notice, Notices};
use crate::operation::Operation;
use crate::options::Plan;
use crate::volume::Volume;

const USERS: usize = 12;
/// Milliseconds between a look and the request. Others ask for something meanwhile.
const THOUGHT: std::ops::Range<u64> = 150..850;

#[derive(Clone, Debug)]
pub struct Api {
    volguard: Volguard,
    notices: Notices,
    tally: Arc<Mutex<Tally>>,
}

/// What was asked for, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// In the order of [`Count`].
    pub counts: BTreeMap<Operation, [u64; 4]>,
    /// The columns that refusals were for.
    pub unmet: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug)]
enum Count {
    Asked,
    Refused,
    Done,
    RolledBack,
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
            if *enough.borrow() && self.tally().asked() >= operations {
                return Ok(());
            }
            let request = Request::choose(&volumes, &mut dice);
            self.tally().count(request.operation, Count::Asked);
            let unmet = request.send(&self.volguard).await?;
            let outcome = if !unmet.is_empty() {
                self.tally().note_unmet(unmet);
                Count::Refused
            } else {
                let is_end = |notice: &Notice| notice.request == request.id && notice.is_end();
                match self.notices.first(0, is_end).await?.is_rolled_back() {
                    true => Count::RolledBack,
                    false => Count::Done,
                }
            };
            self.tally().count(request.operation, outcome);
        }
    }
}

impl Tally {
    fn count(&mut self, operation: Operation, what: Count) {
        self.counts.entry(operation).or_default()[what as usize] += 1;
    }

    fn asked(&self) -> u64 {
        let asked = self.counts.values();
        asked.map(|counts| counts[Count::Asked as usize]).sum()
    }

    fn note_unmet(&mut self, columns: Vec<String>) {
        for column in columns {
            *self.unmet.entry(column).or_default() += 1;
        }
    }
}
