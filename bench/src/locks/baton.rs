//! The hot key, as its holders see it: at most one at a time, one after the other.

use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Result, bail};

/// Its holder, and the client that released it last.
#[derive(Debug, Default)]
pub struct Baton(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    holder: Option<usize>,
    given: Option<(usize, Instant)>,
}

impl Baton {
    /// The client has the lock now. Returns when the previous holder began to release it, if that was
    /// another client. It is an error if another client still has it: then the measured thing isn't a lock.
    pub fn take(&self, client: usize) -> Result<Option<Instant>> {
        let mut state = self.state();
        if let Some(holder) = state.holder.replace(client) {
            bail!("two clients have the same lock: {holder} and {client}");
        }
        let other = state.given.filter(|(before, _)| *before != client);
        Ok(other.map(|(_, when)| when))
    }

    /// The holder begins to release it.
    pub fn give(&self) {
        let mut state = self.state();
        state.given = state.holder.take().map(|client| (client, Instant::now()));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_at_once_are_noticed() {
        let baton = Baton::default();
        baton.take(0).unwrap();
        assert!(baton.take(1).is_err());
    }

    #[test]
    fn only_another_client_takes_over() {
        let baton = Baton::default();
        assert_eq!(baton.take(0).unwrap(), None);
        baton.give();
        assert_eq!(baton.take(0).unwrap(), None);
        baton.give();
        assert!(baton.take(1).unwrap().is_some());
    }
}
