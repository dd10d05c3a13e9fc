//! Taking over the work of crashed services, piece by piece.

use crate::lock::{Guard, dereferences};
use crate::reaper::{self, GRACE, OnDrop, Unsettled};
use crate::sql::{self, ClaimedRow};
use crate::{Error, Held, Loss, Session, key::Name, queue::Places, session::finish, state::Core};
use serde::de::DeserializeOwned;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// The work that crashed services have left and no crash rule repairs. Made by [`Session::claims`].
///
/// ```no_run
/// # async fn repair(work: &volguard::Claimed) -> std::io::Result<()> { Ok(()) }
/// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
/// let mut claims = session.claims().resource_type("volume");
/// while let Some(work) = claims.next().await? {
///     // Brings the resource to a state that it can stay in, with `fenced_by(&work)`.
///     match work.run(repair(&work)).await {
///         Ok(Ok(())) => work.finish_cleanup().await?,
///         _ => work.abandon_cleanup().await?, // the next claim takes it again
///     };
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before `next`"]
pub struct Claims {
    session: Session,
    resource_type: Option<String>,
    every: Duration,
    /// What was handed out since the last pause.
    seen: HashSet<Arc<Name>>,
}

impl Session {
    /// The work of crashed services of this cluster: that of this service's earlier incarnations first. No other
    /// service takes theirs before their lease is over. So a program that starts registers, calls
    /// [`Volguard::cleanup`](crate::Volguard::cleanup) for its host and binary name, then [`Claims::try_next`] until
    /// there is none.
    pub fn claims(&self) -> Claims {
        Claims { session: self.clone(), resource_type: None, every: Duration::from_secs(5), seen: HashSet::new() }
    }
}

impl Claims {
    /// Only work on resources of this type.
    pub fn resource_type(self, resource_type: &str) -> Self {
        Self { resource_type: Some(resource_type.to_owned()), ..self }
    }

    /// The pause when there was no work, and before work that was given back is handed out again. Default: 5 seconds.
    pub fn every(self, pause: Duration) -> Self {
        Self { every: pause, ..self }
    }

    /// Claims the next piece of work that no other call is taking or repairing, or waits for one. `None` after the
    /// session was [stopped](Session::stop). What was claimed when the future is dropped is given back.
    /// *Errors:* [`Error::SessionLost`]; [`Error::Database`] with 22023 for an empty type. Passing ones are logged.
    pub async fn next(&mut self) -> Result<Option<Claimed>, Error> {
        loop {
            let claimed = match self.try_next().await {
                Ok(claimed) => claimed,
                Err(Error::SessionLost(Loss::Stopped)) => return Ok(None),
                Err(error) if error.is_retryable() => {
                    tracing::debug!(%error, "a claim failed and is repeated later");
                    None
                }
                Err(error) => return Err(error),
            };
            // Work that was given back comes last, so this is the whole rest.
            if claimed.as_ref().is_none_or(|work| self.seen.contains(work.name())) {
                match self.session.run(sleep(self.every)).await {
                    Ok(()) => self.seen.clear(),
                    Err(Loss::Stopped) => return Ok(None),
                    Err(loss) => return Err(loss.into()),
                }
            }
            if let Some(work) = claimed {
                self.seen.insert(Arc::clone(work.name()));
                return Ok(Some(work));
            }
        }
    }

    /// Claims a piece of work if there is one. What was claimed is given back after an error or a drop.
    /// *Errors:* Those of [`next`](Self::next), also passing ones, and [`Error::ServiceFenced`].
    pub async fn try_next(&mut self) -> Result<Option<Claimed>, Error> {
        let (core, id) = (self.session.core(), Uuid::new_v4());
        core.lease.check()?;
        let connection = core.volguard.connection().await?;
        let mut doubt = Doubt { core: Arc::clone(core), request_id: Some(id) };
        let call = sql::claim_cleanup(&connection, core.service_id, 1, self.resource_type.as_deref(), Some(id));
        let answer = connection.run("claim_cleanup", call).await.inspect_err(|error| core.heed(error));
        if !matches!(&answer, Err(error) if error.leaves_doubt()) {
            doubt.request_id = None;
        }
        let claimed = answer?.into_iter().next().map(|row| Claimed::new(self.session.clone(), id, row));
        core.lease.check()?;
        Ok(claimed)
    }
}

/// A claim whose answer is not there. When it is dropped, the session gives back what the claim has taken after all.
struct Doubt {
    core: Arc<Core>,
    request_id: Option<Uuid>,
}

impl Drop for Doubt {
    fn drop(&mut self) {
        let Some(request_id) = self.request_id else { return };
        let (places, until, running) = (None, Instant::now() + GRACE, None);
        reaper::settle(&self.core, Unsettled { request_id, places, until, running });
    }
}

/// Work of a crashed service that this service has taken over. Made by [`Session::claims`].
///
/// It holds the lock on the resource, with a new, larger token: pass it to
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by), and check [`lost`](Held::lost). Bring the
/// resource to a state that it can stay in, then call [`finish_cleanup`](Self::finish_cleanup). A guard that is dropped
/// gives the work back in the background, to be claimed again.
#[must_use = "claimed work that is dropped is given back"]
pub struct Claimed {
    guard: Guard,
    row: ClaimedRow,
}

dereferences!(Claimed);

impl Claimed {
    fn new(session: Session, request_id: Uuid, row: ClaimedRow) -> Claimed {
        let (resource_type, resource_id) = (row.resource_type.clone(), row.resource_id.clone());
        let name = Name { resource_type, resource_id, lock_name: row.lock_name.clone() };
        let held = Held::new(session, request_id, vec![(Arc::new(name), row.token)]);
        Claimed { guard: Guard { held, places: Places::default(), on_drop: OnDrop::Abandon }, row }
    }

    /// What was being done when the service crashed.
    pub fn status(&self) -> &str {
        &self.row.status
    }

    /// The service that crashed: the first one, if others have claimed this work since and crashed in turn.
    pub fn crashed_service_id(&self) -> i64 {
        self.row.crashed_service_id
    }

    /// The details that the crashed service gave with its lock. [`Error::Deserialize`] if they don't fit the type.
    pub fn details<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.row.details()
    }

    /// Sets the status: how far the cleanup is. Crash rules go by it, and expect the row's status to be the same.
    /// *Errors:* Those of [`Lock::set_status`](crate::Lock::set_status).
    pub async fn set_status(&self, status: &str) -> Result<(), Error> {
        self.guard.held.set_status(Some(status)).await
    }

    /// Ends the work of a resource that is cleaned up, and frees its lock. Returns `false` if the lock was not held any
    /// more: another service may repeat the cleanup. Continues in the background when the future is dropped. After an
    /// error the work is given back, as if the guard had been dropped, unless it was finished all the same.
    pub async fn finish_cleanup(mut self) -> Result<bool, Error> {
        finish(async move {
            let connection = self.core().volguard.connection().await?;
            let held = connection.run("finish_cleanup", sql::finish_cleanup(&connection, self.token())).await?;
            self.guard.end();
            Ok(held)
        })
        .await
    }

    /// Gives the work back unchanged, for another service to claim. Returns `false` if it was not held any more. After
    /// an error, or when the future is dropped, the call is repeated in the background.
    pub async fn abandon_cleanup(mut self) -> Result<bool, Error> {
        let held = reaper::release(self.core(), &[self.token()], OnDrop::Abandon).await?;
        self.guard.end();
        Ok(held == 1)
    }
}
