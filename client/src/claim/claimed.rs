//! The guard of claimed work.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio_postgres::Row;

use super::granted;
use crate::error::Error;
use crate::lock::Lock;
use crate::session::{Session, finish};

/// Work of a crashed service that this service has taken over. Made by [`Session::claim_cleanup`] and handed to the
/// handlers of [`Session::cleanups`].
///
/// It is a [`Lock`] on the resource, under a token larger than that of the crashed service: pass it to
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by), and check [`lost`](Lock::lost). Bring the
/// resource to a state that it can stay in, then call [`finish_cleanup`](Self::finish_cleanup). A guard that is dropped
/// gives the work back in the background, so that this or another service can claim it.
#[must_use = "claimed work that is dropped is given back"]
pub struct ClaimedCleanup {
    /// Never released: `finish_cleanup` or `abandon_cleanup` ends the work.
    lock: Lock,
    session: Session,
    status: String,
    crashed_service_id: i64,
    details: Option<Value>,
    /// The server has answered one of the two.
    ended: AtomicBool,
}

impl ClaimedCleanup {
    pub(super) fn read(session: &Session, row: &Row) -> Result<ClaimedCleanup, Error> {
        Ok(ClaimedCleanup {
            lock: Lock::of_claim(session.clone(), granted(row)?),
            session: session.clone(),
            status: row.try_get("status")?,
            crashed_service_id: row.try_get("crashed_service_id")?,
            details: row.try_get("details")?,
            ended: AtomicBool::new(false),
        })
    }

    /// What was being done when the service crashed.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// The service that crashed: the first one, if others have claimed this work since and crashed in turn.
    pub fn crashed_service_id(&self) -> i64 {
        self.crashed_service_id
    }

    /// The details that the crashed service gave with its lock.
    pub fn details(&self) -> Option<&Value> {
        self.details.as_ref()
    }

    /// Sets the status: how far the cleanup is, for the service that may have to continue it. Crash rules go by this
    /// status, and expect the resource's own status to be the same.
    ///
    /// # Errors
    /// Those of [`Lock::set_status`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the status may have been set or not; setting it again is safe.
    pub async fn set_status(&self, status: &str) -> Result<(), Error> {
        self.lock.set_status(Some(status)).await
    }

    /// Ends the work of a resource that is cleaned up, and frees its lock. Returns `false` if the lock was not held any
    /// more: another service may repeat the cleanup.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the work is then given back in the background, as if
    /// the guard had been dropped, unless it was finished all the same.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn finish_cleanup(self) -> Result<bool, Error> {
        finish(async move { self.finish().await }).await
    }

    /// Gives the work back unchanged, for another service to claim. Returns `false` if it was not held any more.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the call is then repeated in the background.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn abandon_cleanup(self) -> Result<bool, Error> {
        finish(async move {
            let held = self.session.core().abandon_cleanup(self.token()).await?;
            self.note_ended();
            Ok(held)
        })
        .await
    }

    /// The guard stays armed until the answer is there.
    pub(super) async fn finish(&self) -> Result<bool, Error> {
        let held = self.session.core().finish_cleanup(self.token()).await?;
        self.note_ended();
        Ok(held)
    }

    fn note_ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Deref for ClaimedCleanup {
    type Target = Lock;

    fn deref(&self) -> &Lock {
        &self.lock
    }
}

impl fmt::Debug for ClaimedCleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedCleanup")
            .field("lock", &self.lock)
            .field("status", &self.status)
            .field("crashed_service_id", &self.crashed_service_id)
            .finish_non_exhaustive()
    }
}

impl Drop for ClaimedCleanup {
    fn drop(&mut self) {
        if !*self.ended.get_mut() {
            self.session.reaper().abandon(self.lock.token());
        }
    }
}
