//! What all parts of a session share: its identity, its lease, its wait queues, and the tokens that it knows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::guarded::Guarded;
use super::lease::Lease;
use crate::error::Error;
use crate::handle::Volguard;
use crate::key::Name;
use crate::loss::Loss;
use crate::queue::Lines;

/// A request whose answer was lost: it may have taken locks.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    pub(crate) names: Vec<Arc<Name>>,
    /// From then on its statement can't be under way on the server any more.
    pub(crate) until: Instant,
    /// It starts work, which is not to be released without a final state.
    pub(crate) work: bool,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) volguard: Volguard,
    pub(crate) service_id: i64,
    pub(crate) lease: Arc<Lease>,
    pub(crate) lines: Arc<Lines>,
    /// Held for reading by requests under way, whose tokens aren't known yet; for writing by `reconcile`.
    pub(crate) gate: Arc<RwLock<()>>,
    pub(crate) guarded: Guarded,
    /// Wakes the heartbeat before its time.
    pub(crate) beat_now: Notify,
    /// Releases and settlements in the background.
    pub(crate) tasks: TaskTracker,
    /// Where they run: a guard may be dropped outside of any runtime.
    pub(crate) runtime: Handle,
    known: Mutex<HashSet<i64>>,
    unsettled: Mutex<HashMap<Uuid, Unsettled>>,
}

impl Core {
    /// Must be called within the runtime.
    pub(crate) fn new(volguard: Volguard, service_id: i64, lease: Arc<Lease>) -> Core {
        Core {
            volguard,
            service_id,
            lease,
            lines: Arc::default(),
            gate: Arc::default(),
            guarded: Guarded::default(),
            beat_now: Notify::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            known: Mutex::default(),
            unsettled: Mutex::default(),
        }
    }

    /// Tokens that this session holds or still has to release.
    pub(crate) fn known(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has answered for these tokens, whether or not they were held.
    pub(crate) fn forget(&self, tokens: &[i64]) {
        let mut known = self.known();
        tokens.iter().for_each(|token| _ = known.remove(token));
    }

    pub(crate) fn unsettled(&self) -> MutexGuard<'_, HashMap<Uuid, Unsettled>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what an error says about the service as a whole.
    pub(crate) fn heed(&self, error: &Error) {
        match error {
            Error::ServiceFenced(_) => self.lease.lose(Loss::Fenced),
            // The server counts the lease as expired, this clock does not yet. A heartbeat may still be in time.
            Error::LeaseExpired(_) => self.beat_now.notify_one(),
            _ => {}
        }
    }
}
