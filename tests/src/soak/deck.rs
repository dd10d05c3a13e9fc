//! The faults, and their order.

use std::fmt;

use fastrand::Rng;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A client is killed by SIGKILL, and another one takes its place.
    Kill,
    /// A client is stopped by SIGSTOP, for less or more than its lease, and continued.
    Freeze,
    /// A session is ended by `pg_terminate_backend`.
    Terminate,
    /// A statement is ended by `pg_cancel_backend`.
    Cancel,
    /// A connection breaks at a request or in a reply.
    Cut,
    /// The network between some clients and the server stops.
    Stall,
    /// The server crashes, and recovers.
    Crash,
    /// `volguard.cleanup()` is called, as any manager may do at any time.
    Cleanup,
}

/// The usual mixture.
pub(super) const DECK: &[Fault] = &[
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Cancel,
    Fault::Cancel,
    Fault::Cancel,
    Fault::Cancel,
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Cut,
    Fault::Stall,
    Fault::Crash,
    Fault::Cleanup,
    Fault::Cleanup,
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "clients killed",
            Self::Freeze => "clients stopped and continued",
            Self::Terminate => "sessions terminated",
            Self::Cancel => "statements cancelled",
            Self::Cut => "connections cut",
            Self::Stall => "networks stalled",
            Self::Crash => "server crashes",
            Self::Cleanup => "cleanups by hand",
        })
    }
}

/// Deals the cards in random order; each comes once before any comes again.
pub(super) struct Deck<'a> {
    cards: &'a [Fault],
    left: Vec<Fault>,
}

impl<'a> Deck<'a> {
    pub(super) fn of(cards: &'a [Fault]) -> Self {
        Self { cards, left: Vec::new() }
    }

    pub(super) fn deal(&mut self, rng: &mut Rng) -> Option<Fault> {
        if self.left.is_empty() {
            self.left = self.cards.to_vec();
            rng.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_before_any_comes_again() {
        let mut rng = Rng::with_seed(1);
        let mut deck = Deck::of(DECK);
        for _ in 0..3 {
            let mut dealt: Vec<_> = DECK.iter().filter_map(|_| deck.deal(&mut rng)).collect();
            dealt.sort_unstable();
            let mut all = DECK.to_vec();
            all.sort_unstable();
            assert_eq!(dealt, all);
        }
    }
}
