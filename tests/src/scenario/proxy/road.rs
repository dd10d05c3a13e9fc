//! The state of a proxy's connections, apart from accidents.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Direction;

/// The state of one direction of all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Road {
    /// Everything passes at once.
    #[default]
    Open,
    /// Everything is delayed by this time.
    Slow(Duration),
    /// A black hole: nothing arrives, and no error is reported.
    /// TCP's retransmissions arrive when the road is open again.
    Blocked,
}

/// The state of all traffic through a proxy.
#[derive(Debug, Default)]
pub(super) struct Roads {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    requests: Road,
    replies: Road,
    closed: bool,
    /// Connections up to this number are stranded.
    stranded: usize,
}

impl State {
    fn road(&self, direction: Direction) -> Road {
        match direction {
            Direction::Request => self.requests,
            Direction::Reply => self.replies,
        }
    }
}

impl Roads {
    pub(super) fn set(&self, direction: Direction, road: Road) {
        self.state.send_modify(|state| match direction {
            Direction::Request => state.requests = road,
            Direction::Reply => state.replies = road,
        });
    }

    pub(super) fn close(&self, closed: bool) {
        self.state.send_modify(|state| state.closed = closed);
    }

    pub(super) fn are_closed(&self) -> bool {
        self.state.borrow().closed
    }

    pub(super) fn strand(&self, up_to: usize) {
        self.state.send_modify(|state| state.stranded = up_to);
    }

    /// Resolves when this connection has been stranded.
    pub(super) async fn stranded(&self, connection: usize) {
        let mut changes = self.state.subscribe();
        // The sender lives as long as the connections do.
        let _ = changes.wait_for(|s| s.stranded >= connection).await;
    }

    /// Waits until the data that has just arrived may go on.
    pub(super) async fn travel(&self, direction: Direction) {
        let arrived = Instant::now();
        let mut changes = self.state.subscribe();
        loop {
            let road = changes.borrow_and_update().road(direction);
            let due = async {
                match road {
                    Road::Open => {}
                    Road::Slow(time) => sleep_until(arrived + time).await,
                    Road::Blocked => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => return,
                _ = changes.changed() => {}
            }
        }
    }
}
