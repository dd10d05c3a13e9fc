//! The background task that frees what has lost its owner: locks of dropped guards, and of requests whose answer was
//! lost.

mod errands;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::errands::{release, settle};
use crate::queue::{Key, Place};
use crate::session::Core;

/// An acquire whose answer was lost: it may have left locks behind.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    pub(crate) keys: Vec<Arc<Key>>,
    /// From then on its statement can't be under way on the server any more.
    pub(crate) until: Instant,
    /// It starts work, which is not to be released without a final state.
    pub(crate) work: bool,
}

/// The handle on a session's reaper. Never blocks, needs no runtime.
#[derive(Debug)]
pub(crate) struct Reaper {
    errands: mpsc::UnboundedSender<Errand>,
}

#[derive(Debug)]
enum Errand {
    Release(Release),
    Settle,
    Flush(oneshot::Sender<()>),
}

/// A token to release, and the place in the queue to give up after that.
#[derive(Debug)]
struct Release {
    token: i64,
    /// The token of claimed work, which is abandoned.
    claim: bool,
    _place: Option<Place>,
}

/// How many releases go into one statement.
const BATCH: usize = 64;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Reaper {
    pub(crate) fn start(core: Arc<Core>) -> Reaper {
        let (errands, inbox) = mpsc::unbounded_channel();
        let worker = Worker {
            core,
            due: Vec::new(),
            running: JoinSet::new(),
            retry_at: None,
            pause: FIRST_PAUSE,
            flushes: Vec::new(),
        };
        tokio::spawn(worker.run(inbox));
        Reaper { errands }
    }

    /// Releases in the background, until the server has answered or the session is lost.
    pub(crate) fn release(&self, token: i64, place: Option<Place>) {
        // The channel is closed when the runtime has shut down; the end of the lease frees the lock then.
        let _ = self.errands.send(Errand::Release(Release { token, claim: false, _place: place }));
    }

    /// Gives claimed work back in the background, until the server has answered or the session is lost.
    pub(crate) fn abandon(&self, token: i64) {
        let _ = self.errands.send(Errand::Release(Release { token, claim: true, _place: None }));
    }

    /// Settles the session's unsettled requests and lost claims.
    pub(crate) fn settle(&self) {
        let _ = self.errands.send(Errand::Settle);
    }

    /// Resolves when everything requested before has been tried.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.errands.send(Errand::Flush(done)).is_ok() {
            let _ = flushed.await;
        }
    }
}

struct Worker {
    core: Arc<Core>,
    due: Vec<Release>,
    /// Each task returns the releases that have to be repeated.
    running: JoinSet<Vec<Release>>,
    retry_at: Option<Instant>,
    pause: Duration,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Worker {
    /// Runs until the session's handles are gone and nothing is left to do.
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Errand>) {
        let mut arrived = Vec::new();
        let mut open = true;
        while open || !self.idle() {
            let retry_at = self.retry_at;
            tokio::select! {
                count = inbox.recv_many(&mut arrived, BATCH), if open => {
                    open = count > 0;
                    self.take_in(&mut arrived);
                }
                Some(left) = self.running.join_next() => self.take_back(left.unwrap_or_default()),
                () = at(retry_at) => self.again(),
            }
            if self.idle() {
                self.flushes.drain(..).for_each(|flush| {
                    let _ = flush.send(());
                });
            }
        }
    }

    fn idle(&self) -> bool {
        self.running.is_empty() && self.retry_at.is_none()
    }

    fn take_in(&mut self, arrived: &mut Vec<Errand>) {
        let mut releases = Vec::new();
        for errand in arrived.drain(..) {
            match errand {
                Errand::Release(release) => releases.push(release),
                Errand::Settle => self.settle(),
                Errand::Flush(done) => self.flushes.push(done),
            }
        }
        self.release(releases);
    }

    /// Each batch is a task of its own, so that one that waits for a row delays no other.
    fn release(&mut self, releases: Vec<Release>) {
        if !releases.is_empty() {
            self.running.spawn(release(Arc::clone(&self.core), releases));
        }
    }

    fn settle(&mut self) {
        self.running.spawn(settle(Arc::clone(&self.core)));
    }

    fn take_back(&mut self, left: Vec<Release>) {
        let lost = self.core.lease.check().is_err();
        if lost {
            // The server frees the rest with the service.
            self.core.forget_doubts();
            self.due.clear();
            self.retry_at = None;
            return;
        }
        let undone = !left.is_empty() || self.core.in_doubt();
        self.due.extend(left);
        if undone {
            self.retry_at.get_or_insert(Instant::now() + self.pause);
        } else if self.retry_at.is_none() {
            self.pause = FIRST_PAUSE;
        }
    }

    fn again(&mut self) {
        self.retry_at = None;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let due = std::mem::take(&mut self.due);
        self.release(due);
        if self.core.in_doubt() {
            self.settle();
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
