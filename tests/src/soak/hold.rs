//! What a visitor holds: one lock, or several that it got at once.

use volguard::{Error, Held, Lock, Session};

use crate::history::Answer;

pub(super) struct Hold {
    session: Session,
    lock: Lock,
    keys: Vec<String>,
}

/// One of the locks.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) key: String,
    pub(super) token: i64,
}

impl Hold {
    pub(super) fn new(session: &Session, lock: Lock, keys: &[String]) -> Self {
        Self { session: session.clone(), lock, keys: keys.to_vec() }
    }

    /// In the order of the request.
    pub(super) fn parts(&self) -> Vec<Part> {
        let keys = self.keys.iter().cloned();
        keys.zip(self.lock.tokens()).map(|(key, token)| Part { key, token }).collect()
    }

    /// The guard, if it has the token of this part: of several locks, it has that of the first.
    pub(super) fn guard_of(&self, part: &Part) -> Option<&Held> {
        (self.lock.token() == part.token).then_some(&*self.lock)
    }

    /// The answer for each of its locks.
    pub(super) async fn release(self) -> Result<Answer, Error> {
        if let [_] = &self.keys[..] {
            return Ok(if self.lock.release().await? { Answer::Released } else { Answer::NotHeld });
        }
        let asked = self.keys.len() as u64;
        Ok(match self.session.release_all(vec![self.lock]).await? {
            all if all == asked => Answer::Released,
            0 => Answer::NotHeld,
            // The answer does not say which.
            _ => Answer::Nothing,
        })
    }
}
