//! The guard of locks.

mod held;

pub use self::held::Held;
use crate::reaper::{self, OnDrop};
use crate::{Error, Session, queue::Places};
use std::mem;

/// What every guard has in it: what is held, and what becomes of it when the guard is dropped.
pub(crate) struct Guard {
    pub(crate) held: Held,
    /// The places in the queues of this process, given up with the release.
    pub(crate) places: Places,
    pub(crate) on_drop: OnDrop,
}

impl Guard {
    /// The server has answered the end: the next task in the queue of this process gets its turn.
    pub(crate) fn end(&mut self) {
        self.on_drop = OnDrop::Nothing;
        self.held.over().cancel();
        self.places = Places::default();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let held = &self.held;
        held.over().cancel();
        match self.on_drop {
            how @ (OnDrop::Release | OnDrop::Abandon) => {
                reaper::give_back(held.core(), held.tokens(), how, mem::take(&mut self.places));
            }
            OnDrop::Leave => warn_of_unfinished(held),
            OnDrop::Nothing => {}
        }
    }
}

/// The guard of unfinished work was dropped, or the future of an end that is refused.
pub(crate) fn warn_of_unfinished(held: &Held) {
    tracing::warn!(
        service_id = held.core().service_id, token = held.token(), request_id = %held.request_id(),
        resource_type = held.resource_type(), resource_id = held.resource_id(),
        "unfinished work was dropped: it stays locked until the session ends, and is left to cleanup then"
    );
}

/// Gives a guard the methods of [`Held`].
macro_rules! dereferences {
    ($guard:ident) => {
        impl std::ops::Deref for $guard {
            type Target = crate::lock::Held;
            fn deref(&self) -> &Self::Target {
                &self.guard.held
            }
        }

        impl std::fmt::Debug for $guard {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($guard)).field(&self.guard.held).finish()
            }
        }
    };
}
pub(crate) use dereferences;

/// Gives a guard of work a status that is never `NULL`: without one it would be a plain lock, which no cleanup repairs.
macro_rules! sets_status {
    ($guard:ident) => {
        impl $guard {
            /// Sets the status of the work: how far it is. Crash rules go by it, and expect the row's status to be the
            /// same. *Errors:* Those of [`Lock::set_status`](crate::Lock::set_status).
            pub async fn set_status(&self, status: &str) -> Result<(), crate::Error> {
                self.guard.held.set_status(Some(status)).await
            }
        }
    };
}
pub(crate) use sets_status;

/// One lock, or several that were taken together, that this process holds as far as it knows. Made by
/// [`Session::acquire`]. Its methods are those of [`Held`], to which every guard dereferences.
///
/// [`run`](Held::run) the work that it protects, which ends the work with the lock. Or check the lock while you work:
/// [`lost`](Held::lost) resolves before another service can get the lock. Where possible,
/// [fence](crate#the-clock-of-a-session) the writes.
///
/// A guard that is dropped is released in the background, until the server has answered or the session is lost. Only
/// then does the next task in the queue of this process get its turn.
#[must_use = "a lock that is dropped is released"]
pub struct Lock {
    pub(crate) guard: Guard,
}

dereferences!(Lock);

impl Lock {
    /// Sets the status: what is done under the lock, or the first of several. `None`: nothing needs cleanup.
    /// *Errors:* [`Error::TokenNotHeld`], after which the lock is lost.
    pub async fn set_status(&self, status: Option<&str>) -> Result<(), Error> {
        self.guard.held.set_status(status).await
    }

    /// Frees the lock, or all of them in one commit. Returns `false` if not all were held any more. After an error, or
    /// when the future is dropped, the release is repeated in the background.
    pub async fn release(mut self) -> Result<bool, Error> {
        self.over().cancel();
        let tokens = self.tokens();
        // The guard stays armed until the answer is there: dropping it repeats the release.
        let released = reaper::release(self.core(), &tokens, OnDrop::Release).await?;
        self.guard.end();
        Ok(released == tokens.len() as u64)
    }
}

impl Session {
    /// Releases many guards of this session in one commit, as [`Lock::release`] does. Returns how many were still held.
    pub async fn release_all(&self, mut locks: Vec<Lock>) -> Result<u64, Error> {
        locks.iter().for_each(|lock| lock.over().cancel());
        let tokens: Vec<i64> = locks.iter().flat_map(|lock| lock.tokens()).collect();
        let released = reaper::release(&self.core, &tokens, OnDrop::Release).await?;
        locks.iter_mut().for_each(|lock| lock.guard.end());
        Ok(released)
    }
}
