//! The lease of a session: one deadline, which heartbeats move, and a loss, which is final.

use super::clock::Moment;
use crate::backoff::FOREVER;
use crate::loss::Loss;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The margin is this fraction of the lease: work protected by a lock stops before the server frees the lock.
const MARGIN: u32 = 10;
/// The clock of a channel doesn't count a suspension: after one, the loss is noticed within this time.
const LONGEST_NAP: Duration = Duration::from_millis(250);

/// One session's lease, as this process may count on it.
///
/// Every check compares the clocks with the deadline, none relies on a timer task: a process that was stopped (SIGSTOP)
/// or suspended beyond its lease finds its session lost at the first check.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Mutex<State>,
    /// Cancelled when the loss is recorded.
    pub(crate) over: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct State {
    lost_at: Moment,
    length: Duration,
    /// Final, with its time.
    loss: Option<(Loss, Instant)>,
}

impl Lease {
    /// `sent_at` was taken before the statement was sent that started the lease on the server.
    pub(crate) fn new(sent_at: Moment, length: Duration) -> Lease {
        Lease { state: Mutex::new(held(sent_at, length)), over: CancellationToken::new() }
    }

    /// Records a successful heartbeat that was sent at `sent_at` or later. It fails if the deadline has passed
    /// meanwhile: the program may have acted on the loss.
    pub(crate) fn renew(&self, sent_at: Moment, length: Duration) -> Result<(), Loss> {
        self.update(|state| *state = held(sent_at, length))
    }

    /// Records the loss, unless the session is already lost for another reason.
    pub(crate) fn lose(&self, loss: Loss) {
        let _ = self.update(|state| state.loss = Some((loss, Instant::now())));
    }

    pub(crate) fn check(&self) -> Result<(), Loss> {
        self.update(|_| {})
    }

    /// When the session will be lost unless a heartbeat succeeds before; when it was lost, if it is.
    pub(crate) fn lost_at(&self) -> Instant {
        let State { lost_at, loss, .. } = *self.state();
        loss.map_or(lost_at.awake, |(_, since)| since)
    }

    pub(crate) fn length(&self) -> Duration {
        self.state().length
    }

    /// Resolves when the session is lost.
    pub(crate) async fn lost(&self) -> Loss {
        loop {
            if let Err(loss) = self.check() {
                return loss;
            }
            self.over.cancelled().await;
        }
    }

    /// Awaits `work`, or the loss of the session, which drops it.
    pub(crate) async fn unless_lost<T>(&self, work: impl Future<Output = T>) -> Result<T, Loss> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            loss = self.lost() => Err(loss),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `change` to a live lease, and records the loss of a lease whose deadline has passed.
    fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), Loss> {
        let mut state = self.state();
        if state.loss.is_none() && state.lost_at.has_passed() {
            state.loss = Some((Loss::LeaseRanOut, state.lost_at.awake.min(Instant::now())));
        } else if state.loss.is_none() {
            change(&mut state);
        }
        let loss = state.loss;
        // Not under the lock, because it wakes the waiters.
        drop(state);
        let Some((loss, _)) = loss else { return Ok(()) };
        self.over.cancel();
        Err(loss)
    }
}

fn held(sent_at: Moment, length: Duration) -> State {
    State { lost_at: sent_at.after((length - length / MARGIN).min(FOREVER)), length, loss: None }
}

/// A thread, one per process, that records the loss of leases whose deadline passes. Calls check the clocks themselves;
/// this wakes the tasks that wait for the loss: the runtime's timers don't count a suspension of the machine, and are
/// late when all its threads are busy.
static WATCHDOG: LazyLock<Sender<Weak<Lease>>> = LazyLock::new(|| {
    let (sender, added) = channel();
    let thread = thread::Builder::new().name("volguard-lease".to_owned()).spawn(move || watch(&added));
    thread.expect("the system can start a thread");
    sender
});

/// Watches a lease until it is lost or dropped.
pub(crate) fn keep(lease: &Arc<Lease>) {
    WATCHDOG.send(Arc::downgrade(lease)).expect("the thread runs as long as the process");
}

fn watch(added: &Receiver<Weak<Lease>>) {
    let mut leases: Vec<Weak<Lease>> = Vec::new();
    loop {
        // The check records a loss, which wakes those that wait for it.
        leases.retain(|lease| lease.upgrade().is_some_and(|lease| lease.check().is_ok()));
        let deadlines = leases.iter().filter_map(|lease| Some(lease.upgrade()?.state().lost_at.left()));
        leases.extend(match deadlines.min() {
            Some(left) => added.recv_timeout(left.min(LONGEST_NAP)).ok(),
            None => added.recv().ok(),
        });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
