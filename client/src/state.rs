//! What all parts of a session share, and what keeps it alive.

mod clock;
mod guarded;
mod heartbeat;
mod lease;

use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use self::clock::Moment;
use self::guarded::Guarded;
pub(crate) use self::heartbeat::Heartbeat;
pub(crate) use self::lease::{Lease, keep};
use crate::key::Name;
use crate::queue::Queues;
use crate::{Error, Loss, Volguard};

/// The identity of a session, its lease, and its wait queues.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) volguard: Volguard,
    pub(crate) service_id: i64,
    pub(crate) lease: Arc<Lease>,
    pub(crate) lines: Arc<Queues<Arc<Name>>>,
    pub(crate) requests: Arc<Queues<Uuid>>,
    pub(crate) guarded: Guarded,
    /// Cancelled with the last handle of the session: ends the heartbeats and the janitor.
    pub(crate) unused: CancellationToken,
    /// Wakes the heartbeat before its time.
    pub(crate) beat_now: Notify,
    /// Releases and settlements in the background.
    pub(crate) tasks: TaskTracker,
    /// Where they run: a guard may be dropped outside of any runtime.
    pub(crate) runtime: Handle,
}

impl Core {
    /// Must be called within the runtime.
    pub(crate) fn new(volguard: Volguard, service_id: i64, lease: Arc<Lease>) -> Core {
        let (lines, requests, guarded, unused, beat_now) = Default::default();
        let (tasks, runtime) = (TaskTracker::new(), Handle::current());
        Core { volguard, service_id, lease, lines, requests, guarded, unused, beat_now, tasks, runtime }
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
