//! The locks of a visitor: one, or several that it got at once.

use std::slice;

use volguard::{Error, Lock, LockSet};

use crate::history::Answer;

pub(super) enum Hold {
    One(Lock),
    Several(LockSet),
}

impl Hold {
    pub(super) fn locks(&self) -> &[Lock] {
        match self {
            Hold::One(lock) => slice::from_ref(lock),
            Hold::Several(set) => set.locks(),
        }
    }

    /// The answer for each of its locks.
    pub(super) async fn release(self) -> Result<Answer, Error> {
        let asked = self.locks().len() as u64;
        let released = match self {
            Hold::One(lock) => u64::from(lock.release().await?),
            Hold::Several(set) => set.release().await?,
        };
        Ok(match released {
            all if all == asked => Answer::Released,
            0 => Answer::NotHeld,
            // The answer does not say which.
            _ => Answer::Nothing,
        })
    }
}
