//! Releases that did not wait for the disk, which a crash of the server may have undone.
//!
//! A connection that breaks is no sign of a crash that one could rely on: behind a pooler it outlives the server. So nobody
//! looks for crashes. Every heartbeat that succeeds has been flushed, and with it whatever was committed before: a release
//! that was answered before the heartbeat was sent is either on disk by then, or a crash undid it in between. The lock
//! of the latter is back for all to see, and is released again, which for the others finds nothing.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As many make the next heartbeat come at once.
const MANY: usize = 8192;

/// Tokens that were released, of which it isn't certain yet that they stay released.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    tokens: Mutex<HashSet<i64>>,
}

impl Unflushed {
    /// `true` if it is time to look after them.
    pub(super) fn add(&self, tokens: &[i64]) -> bool {
        let mut unflushed = self.lock();
        let before = unflushed.len();
        unflushed.extend(tokens);
        before / MANY < unflushed.len() / MANY
    }

    pub(super) fn remove(&self, tokens: &[i64]) {
        let mut unflushed = self.lock();
        tokens.iter().for_each(|token| {
            unflushed.remove(token);
        });
    }

    pub(super) fn all(&self) -> Vec<i64> {
        self.lock().iter().copied().collect()
    }

    pub(crate) fn contains(&self, token: i64) -> bool {
        self.lock().contains(&token)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_a_heartbeat_each_time_there_are_many_more() {
        let unflushed = Unflushed::default();
        let tokens: Vec<i64> = (0..20_000).collect();
        let asked = tokens
            .iter()
            .filter(|token| unflushed.add(&[**token]))
            .count();
        assert_eq!(asked, 2);
        unflushed.remove(&tokens[..19_999]);
        assert_eq!(unflushed.all(), [19_999]);
        assert!(unflushed.add(&tokens));
    }
}
