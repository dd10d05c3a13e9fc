//! The judge of a session's life: one deadline, moved by heartbeats, and a verdict that is never taken back.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::clock::Moment;

/// Why a session, or one lock of it, is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// No heartbeat succeeded in time: the lease may run out on the server, and others may clean up.
    LeaseRanOut,
    /// The server said that the service is fenced, or unknown.
    Fenced,
    /// [`Session::stop`](crate::Session::stop) was called.
    Stopped,
    /// This one lock is not held any more although its session lives: an operator released it, or reset the
    /// resource.
    TokenNotHeld,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::LeaseRanOut => "no heartbeat succeeded before the lease could end",
            Loss::Fenced => "the server has fenced this service",
            Loss::Stopped => "it was stopped",
            Loss::TokenNotHeld => "the server says that the token is not held",
        })
    }
}

impl std::error::Error for Loss {}

/// The share of the lease that is given away, so that work protected by a lock stops before the server lets it
/// go.
const MARGIN: u32 = 10;

/// Stands for a lease that the clock can't count.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// One session's lease, as this process may count on it.
///
/// Every question compares the clocks with the deadline, none relies on a timer task having run: a process that
/// was stopped (SIGSTOP) or suspended beyond its lease finds itself lost at its first look.
#[derive(Debug)]
pub(crate) struct Lease {
    state: watch::Sender<State>,
    /// Cancelled when the loss is written down.
    over: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Held {
        lost_at: Moment,
        lease: Duration,
    },
    Lost {
        since: Instant,
        loss: Loss,
        lease: Duration,
    },
}

impl Lease {
    /// `sent_at` was taken before the statement was sent that started the lease on the server.
    pub(crate) fn new(sent_at: Moment, lease: Duration) -> Lease {
        Lease {
            state: watch::Sender::new(held(sent_at, lease)),
            over: CancellationToken::new(),
        }
    }

    /// A heartbeat succeeded that was sent at `sent_at` or later. In vain if the deadline has passed meanwhile:
    /// somebody may have acted upon it.
    pub(crate) fn renew(&self, sent_at: Moment, lease: Duration) -> Result<(), Loss> {
        self.update(|state| *state = held(sent_at, lease))
    }

    /// The session is over, unless it already was for another reason.
    pub(crate) fn lose(&self, loss: Loss) {
        let _ = self.update(|state| {
            *state = State::Lost {
                since: Instant::now(),
                loss,
                lease: state.lease(),
            };
        });
    }

    pub(crate) fn check(&self) -> Result<(), Loss> {
        // Read-locked on the way that almost every call takes; only a deadline just passed is written down.
        match *self.state.borrow() {
            State::Held { lost_at, .. } if !lost_at.has_passed() => return Ok(()),
            State::Lost { loss, .. } => return Err(loss),
            State::Held { .. } => {}
        }
        self.update(|_| {})
    }

    /// When the session is lost unless a heartbeat succeeds before; when it was lost, if it is.
    pub(crate) fn lost_at(&self) -> Instant {
        match *self.state.borrow() {
            State::Held { lost_at, .. } => lost_at.awake(),
            State::Lost { since, .. } => since,
        }
    }

    /// The deadline as it stands, as long as there is one.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match *self.state.borrow() {
            State::Held { lost_at, .. } => Some(lost_at),
            State::Lost { .. } => None,
        }
    }

    pub(crate) fn length(&self) -> Duration {
        self.state.borrow().lease()
    }

    /// Cancelled with the loss.
    pub(crate) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Resolves when the session is lost.
    pub(crate) async fn lost(&self) -> Loss {
        let mut changes = self.state.subscribe();
        loop {
            let lost_at = match (self.check(), *changes.borrow_and_update()) {
                (Err(loss), _) | (Ok(()), State::Lost { loss, .. }) => return loss,
                (Ok(()), State::Held { lost_at, .. }) => lost_at,
            };
            tokio::select! {
                () = sleep_until(lost_at.awake()) => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Applies `change` to a lease that is held, and writes down the loss of one whose deadline has passed.
    fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), Loss> {
        let mut verdict = Ok(());
        let mut over = false;
        self.state.send_if_modified(|state| {
            let modified = match *state {
                State::Lost { loss, .. } => {
                    verdict = Err(loss);
                    false
                }
                State::Held { lost_at, lease } if lost_at.has_passed() => {
                    *state = State::Lost {
                        since: lost_at.awake().min(Instant::now()),
                        loss: Loss::LeaseRanOut,
                        lease,
                    };
                    verdict = Err(Loss::LeaseRanOut);
                    true
                }
                State::Held { .. } => {
                    change(state);
                    true
                }
            };
            over = matches!(state, State::Lost { .. });
            modified
        });
        // Not under the lock: it wakes whoever waits.
        if over {
            self.over.cancel();
        }
        verdict
    }
}

impl State {
    fn lease(&self) -> Duration {
        match *self {
            State::Held { lease, .. } | State::Lost { lease, .. } => lease,
        }
    }
}

fn held(sent_at: Moment, lease: Duration) -> State {
    let safe = lease - lease / MARGIN;
    let lost_at = sent_at.checked_add(safe);
    State::Held {
        lost_at: lost_at
            .or_else(|| sent_at.checked_add(FOREVER))
            .unwrap_or(sent_at),
        lease,
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::super::clock::tests::suspend;
    use super::super::watch;
    use super::*;
    use std::sync::Arc;
    use tokio::time::advance;

    const LEASE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn is_lost_before_the_lease_ends_on_the_server() {
        let lease = Lease::new(Moment::now(), LEASE);
        advance(SECOND * 9 - Duration::from_millis(1)).await;
        assert_eq!(lease.check(), Ok(()));
        advance(Duration::from_millis(1)).await;
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_from_before_the_heartbeat_was_sent() {
        let lease = Lease::new(Moment::now(), LEASE);
        let sent_at = Moment::now();
        advance(SECOND * 5).await; // the reply takes five seconds
        lease.renew(sent_at, LEASE).unwrap();
        assert_eq!(lease.lost_at(), sent_at.awake() + SECOND * 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_after_the_deadline_revives_nothing() {
        let lease = Lease::new(Moment::now(), LEASE);
        let sent_at = Moment::now().checked_add(SECOND * 8).unwrap();
        advance(SECOND * 9).await;
        assert_eq!(lease.renew(sent_at, LEASE), Err(Loss::LeaseRanOut));
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_never_taken_back_nor_renamed() {
        let lease = Lease::new(Moment::now(), LEASE);
        lease.lose(Loss::Fenced);
        lease.lose(Loss::Stopped);
        assert_eq!(lease.renew(Moment::now(), LEASE), Err(Loss::Fenced));
        assert_eq!(lease.check(), Err(Loss::Fenced));
        assert_eq!(lease.length(), LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_waits_for_the_last_deadline_only() {
        let start = Instant::now();
        let lease = Lease::new(Moment::now(), LEASE);
        let renewals = async {
            tokio::time::sleep(SECOND * 4).await;
            lease.renew(Moment::now(), LEASE).unwrap();
            std::future::pending::<()>().await;
        };
        let loss = tokio::select! {
            loss = lease.lost() => loss,
            () = renewals => unreachable!(),
        };
        assert_eq!(loss, Loss::LeaseRanOut);
        assert_eq!(Instant::now() - start, SECOND * 13);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_resolves_at_once_when_fenced() {
        let start = Instant::now();
        let lease = Lease::new(Moment::now(), LEASE);
        let fence = async {
            tokio::time::sleep(SECOND).await;
            lease.lose(Loss::Fenced);
        };
        let (loss, ()) = tokio::join!(lease.lost(), fence);
        assert_eq!((loss, Instant::now() - start), (Loss::Fenced, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_the_token_is_told_of_the_loss() {
        let lease = Lease::new(Moment::now(), LEASE);
        let told = lease.over().child_token();
        lease.renew(Moment::now(), LEASE).unwrap();
        assert!(!told.is_cancelled());
        lease.lose(Loss::Fenced);
        assert!(told.is_cancelled());

        let lease = Lease::new(Moment::now(), LEASE);
        let told = lease.over().child_token();
        advance(LEASE).await;
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
        assert!(told.is_cancelled());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn a_suspension_beyond_the_lease_loses_it_and_a_heartbeat_revives_nothing() {
        let start = Instant::now();
        let lease = Lease::new(Moment::now(), LEASE);
        let sent_at = Moment::now();
        suspend(SECOND * 9);
        assert_eq!(lease.renew(sent_at, LEASE), Err(Loss::LeaseRanOut));
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
        assert_eq!(lease.lost().await, Loss::LeaseRanOut);
        assert_eq!((lease.lost_at(), Instant::now()), (start, start));
    }

    /// The runtime's clock stands still here: all its timers are late.
    #[tokio::test(start_paused = true)]
    async fn the_watch_needs_none_of_the_runtimes_timers() {
        let start = Instant::now();
        let lease = Arc::new(Lease::new(Moment::now(), LEASE / 100));
        watch::keep(&lease);
        lease.over().cancelled().await;
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
        assert_eq!(Instant::now(), start);
    }

    #[tokio::test]
    async fn the_watch_waits_for_the_last_deadline() {
        let lease = Arc::new(Lease::new(Moment::now(), LEASE / 100));
        watch::keep(&lease);
        let renewed = Moment::now();
        lease.renew(renewed, LEASE / 20).unwrap();
        lease.over().cancelled().await;
        assert!(Instant::now() >= renewed.awake() + LEASE / 20 / 10 * 9);
    }
}
