//! The guard of claimed work.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::Error;
use crate::key::Name;
use crate::lock::{Guard, Held};
use crate::reaper::{self, OnDrop};
use crate::session::{Session, finish};
use crate::sql::{self, ClaimedRow};

/// Work of a crashed service that this service has taken over. Made by [`Session::claims`](crate::Session::claims).
///
/// It holds the lock on the resource, under a token larger than that of the crashed service: pass it to
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by), and check [`lost`](Held::lost). Bring the
/// resource to a state that it can stay in, then call [`finish_cleanup`](Self::finish_cleanup). A guard that is dropped
/// gives the work back in the background, so that this or another service can claim it.
#[must_use = "claimed work that is dropped is given back"]
pub struct Claimed {
    guard: Guard,
    row: ClaimedRow,
}

impl Claimed {
    pub(super) fn new(session: Session, request_id: Uuid, row: ClaimedRow) -> Claimed {
        let name = Name {
            resource_type: row.resource_type.clone(),
            resource_id: row.resource_id.clone(),
            lock_name: row.lock_name.clone(),
        };
        let locks = vec![(Arc::new(name), row.token)];
        Claimed { guard: Guard::new(session, request_id, locks, Default::default(), OnDrop::Abandon), row }
    }

    /// What was being done when the service crashed.
    pub fn status(&self) -> &str {
        &self.row.status
    }

    /// The service that crashed: the first one, if others have claimed this work since and crashed in turn.
    pub fn crashed_service_id(&self) -> i64 {
        self.row.crashed_service_id
    }

    /// The details that the crashed service gave with its lock.
    /// *Errors:* [`Error::Deserialize`] if they don't fit the type.
    pub fn details<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.row.details()
    }

    /// Sets the status: how far the cleanup is, for the service that may have to continue it. Crash rules go by this
    /// status, and expect the resource's own status to be the same.
    /// *Errors:* Those of [`Lock::set_status`](crate::Lock::set_status).
    /// *Cancel safety:* When the future is dropped, the status may have been set or not; setting it again is safe.
    pub async fn set_status(&self, status: &str) -> Result<(), Error> {
        self.guard.held.set_status(Some(status)).await
    }

    /// Ends the work of a resource that is cleaned up, and frees its lock. Returns `false` if the lock was not held any
    /// more: another service may repeat the cleanup.
    /// *Errors:* [`Error::Connect`], [`Error::PoolExhausted`], [`Error::Database`], [`Error::NoReply`]: the work is
    /// then given back in the background, as if the guard had been dropped, unless it was finished all the same.
    /// *Cancel safety:* Continues in the background when the future is dropped.
    pub async fn finish_cleanup(mut self) -> Result<bool, Error> {
        finish(async move {
            let connection = self.guard.held.core().volguard.connection().await?;
            let call = sql::finish_cleanup(&connection, self.token());
            let held = connection.run("finish_cleanup", call).await?;
            self.guard.end();
            Ok(held)
        })
        .await
    }

    /// Gives the work back unchanged, for another service to claim. Returns `false` if it was not held any more.
    /// *Errors:* [`Error::Connect`], [`Error::PoolExhausted`], [`Error::Database`], [`Error::NoReply`]: the call is
    /// then repeated in the background.
    /// *Cancel safety:* Continues in the background when the future is dropped.
    pub async fn abandon_cleanup(mut self) -> Result<bool, Error> {
        let held = reaper::abandon(self.guard.held.core(), &[self.token()]).await?;
        self.guard.end();
        Ok(held == 1)
    }
}

impl Deref for Claimed {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.guard.held
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed").field("held", &self.guard.held).field("row", &self.row).finish()
    }
}
