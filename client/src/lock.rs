//! The guard of locks.

mod held;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

pub use self::held::Held;
use crate::error::Error;
use crate::key::Name;
use crate::queue::Places;
use crate::reaper::{self, OnDrop};
use crate::session::Session;

/// What every guard has in it: what is held, and what becomes of it when the guard is dropped.
pub(crate) struct Guard {
    pub(crate) held: Held,
    /// The places in the queues of this process, given up with the release.
    pub(crate) places: Places,
    pub(crate) on_drop: OnDrop,
}

impl Guard {
    pub(crate) fn new(
        session: Session,
        request_id: Uuid,
        locks: Vec<(Arc<Name>, i64)>,
        places: Places,
        on_drop: OnDrop,
    ) -> Guard {
        Guard { held: Held::new(session, request_id, locks), places, on_drop }
    }

    /// The server has answered the end: the next task in the queue of this process gets its turn.
    pub(crate) fn end(&mut self) {
        self.on_drop = OnDrop::Nothing;
        self.places.clear();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.held.over().cancel();
        match self.on_drop {
            how @ (OnDrop::Release | OnDrop::Abandon) => {
                let places = std::mem::take(&mut self.places);
                reaper::give_back(self.held.core(), self.held.tokens(), how, places);
            }
            OnDrop::Leave => self.held.leave(),
            OnDrop::Nothing => {}
        }
    }
}

/// One lock, or several that were taken together, that this process holds as far as it knows. Made by
/// [`Session::acquire`].
///
/// Run the work that it protects by [`run`](Held::run), which ends the work with the lock. Or check the lock while you
/// work: [`lost`](Held::lost) resolves, and [`is_lost`](Held::is_lost) turns true, before another service can get the
/// lock. Where possible, let the database check: [`assert_held_in`](Held::assert_held_in) a transaction, or
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by). Pass the [`token`](Held::token) to storage that
/// can refuse smaller ones. All of these are methods of [`Held`], to which every guard dereferences.
///
/// [`release`](Lock::release) returns when the lock is free. A guard that is dropped is released in the background. The
/// release is repeated until the server has answered or the session is lost. After that, the next task in the queue of
/// this process gets its turn. A program that ends with a live guard leaves the lock until the end of its lease.
#[must_use = "a lock that is dropped is released"]
pub struct Lock {
    pub(crate) guard: Guard,
}

impl Lock {
    /// Sets the status: what is being done under the lock, or under the first of several. `None` means that nothing needs
    /// cleanup.
    /// *Errors:* [`Error::TokenNotHeld`], after which the lock is lost; [`Error::SessionLost`] without asking the
    /// server; [`Error::Connect`], [`Error::PoolExhausted`], [`Error::Database`], [`Error::NoReply`].
    /// *Cancel safety:* When the future is dropped, the status may have been set or not; setting it again is safe.
    pub async fn set_status(&self, status: Option<&str>) -> Result<(), Error> {
        self.guard.held.set_status(status).await
    }

    /// Frees the lock, or all of them in one commit. Returns `false` if not all were held any more.
    /// *Errors:* [`Error::Connect`], [`Error::PoolExhausted`], [`Error::Database`], [`Error::NoReply`]: the release is
    /// then repeated in the background, as if the guard had been dropped.
    /// *Cancel safety:* Continues in the background when the future is dropped.
    pub async fn release(mut self) -> Result<bool, Error> {
        let held = &self.guard.held;
        held.over().cancel();
        let tokens = held.tokens();
        // The guard stays armed until the answer is there: dropping it repeats the release.
        let released = reaper::release(held.core(), &tokens).await?;
        self.guard.end();
        Ok(released == tokens.len() as u64)
    }
}

impl Deref for Lock {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.guard.held
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lock").field(&self.guard.held).finish()
    }
}

impl Session {
    /// Releases many guards of this session in one statement and one commit. Returns how many of their locks were still
    /// held.
    /// *Errors:* Those of [`Lock::release`].
    /// *Cancel safety:* Continues in the background when the future is dropped.
    pub async fn release_all(&self, mut locks: Vec<Lock>) -> Result<u64, Error> {
        locks.iter().for_each(|lock| lock.over().cancel());
        let tokens: Vec<i64> = locks.iter().flat_map(|lock| lock.tokens()).collect();
        let released = reaper::release(self.core(), &tokens).await?;
        locks.iter_mut().for_each(|lock| lock.guard.end());
        Ok(released)
    }
}
