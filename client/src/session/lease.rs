//! The judge of a session's life: one deadline, moved by heartbeats, and a verdict that is never taken back.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

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

/// The share of the lease that is given away, so that work protected by a lock stops before the server lets it
/// go.
const MARGIN: u32 = 10;

/// Stands for a lease that the clock can't count.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// One session's lease, as this process may count on it.
///
/// Every question compares the clock with the deadline, none relies on a timer task having run: a process that
/// was stopped (SIGSTOP) beyond its lease finds itself lost at its first look.
#[derive(Debug)]
pub(crate) struct Lease {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Held {
        lost_at: Instant,
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
    pub(crate) fn new(sent_at: Instant, lease: Duration) -> Lease {
        Lease {
            state: watch::Sender::new(held(sent_at, lease)),
        }
    }

    /// A heartbeat succeeded that was sent at `sent_at` or later. In vain if the deadline has passed meanwhile:
    /// somebody may have acted upon it.
    pub(crate) fn renew(&self, sent_at: Instant, lease: Duration) -> Result<(), Loss> {
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
            State::Held { lost_at, .. } if Instant::now() < lost_at => return Ok(()),
            State::Lost { loss, .. } => return Err(loss),
            State::Held { .. } => {}
        }
        self.update(|_| {})
    }

    /// When the session is lost unless a heartbeat succeeds before; when it was lost, if it is.
    pub(crate) fn lost_at(&self) -> Instant {
        match *self.state.borrow() {
            State::Held { lost_at, .. } => lost_at,
            State::Lost { since, .. } => since,
        }
    }

    pub(crate) fn length(&self) -> Duration {
        self.state.borrow().lease()
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
                () = sleep_until(lost_at) => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Applies `change` to a lease that is held, and writes down the loss of one whose deadline has passed.
    fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), Loss> {
        let mut verdict = Ok(());
        self.state.send_if_modified(|state| {
            let now = Instant::now();
            match *state {
                State::Lost { loss, .. } => {
                    verdict = Err(loss);
                    false
                }
                State::Held { lost_at, lease } if now >= lost_at => {
                    *state = State::Lost {
                        since: lost_at,
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
            }
        });
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

fn held(sent_at: Instant, lease: Duration) -> State {
    let safe = lease - lease / MARGIN;
    State::Held {
        lost_at: sent_at.checked_add(safe).unwrap_or(sent_at + FOREVER),
        lease,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const LEASE: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn is_lost_before_the_lease_ends_on_the_server() {
        let lease = Lease::new(Instant::now(), LEASE);
        advance(SECOND * 9 - Duration::from_millis(1)).await;
        assert_eq!(lease.check(), Ok(()));
        advance(Duration::from_millis(1)).await;
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_from_before_the_heartbeat_was_sent() {
        let lease = Lease::new(Instant::now(), LEASE);
        let sent_at = Instant::now();
        advance(SECOND * 5).await; // the reply takes five seconds
        lease.renew(sent_at, LEASE).unwrap();
        assert_eq!(lease.lost_at(), sent_at + SECOND * 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_after_the_deadline_revives_nothing() {
        let lease = Lease::new(Instant::now(), LEASE);
        let sent_at = Instant::now() + SECOND * 8;
        advance(SECOND * 9).await;
        assert_eq!(lease.renew(sent_at, LEASE), Err(Loss::LeaseRanOut));
        assert_eq!(lease.check(), Err(Loss::LeaseRanOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_never_taken_back_nor_renamed() {
        let lease = Lease::new(Instant::now(), LEASE);
        lease.lose(Loss::Fenced);
        lease.lose(Loss::Stopped);
        assert_eq!(lease.renew(Instant::now(), LEASE), Err(Loss::Fenced));
        assert_eq!(lease.check(), Err(Loss::Fenced));
        assert_eq!(lease.length(), LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_waits_for_the_last_deadline_only() {
        let start = Instant::now();
        let lease = Lease::new(start, LEASE);
        let renewals = async {
            tokio::time::sleep(SECOND * 4).await;
            lease.renew(Instant::now(), LEASE).unwrap();
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
        let lease = Lease::new(start, LEASE);
        let fence = async {
            tokio::time::sleep(SECOND).await;
            lease.lose(Loss::Fenced);
        };
        let (loss, ()) = tokio::join!(lease.lost(), fence);
        assert_eq!((loss, Instant::now() - start), (Loss::Fenced, SECOND));
    }
}
