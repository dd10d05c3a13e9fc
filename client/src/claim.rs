//! Taking over the work of crashed services, piece by piece.

use crate::lock::{Guard, dereferences, sets_status};
use crate::reaper::{self, OnDrop};
use crate::sql::{self, ClaimFilter, ClaimedRow};
use crate::{Error, Loss, Session, flight::Flight, key::Name, queue::Places, session::finish};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::sleep;
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
    filter: ClaimFilter,
    every: Duration,
    /// What was handed out since the last pause.
    seen: HashSet<Arc<Name>>,
}

impl Session {
    /// The work of crashed services of this cluster: that of this service's earlier incarnations first, which no other
    /// service takes before their lease is over. So a program that starts registers, calls
    /// [`Volguard::cleanup`](crate::Volguard::cleanup) for its host and binary name, then [`Claims::try_next`].
    pub fn claims(&self) -> Claims {
        Claims {
            session: self.clone(),
            filter: ClaimFilter::default(),
            every: Duration::from_secs(5),
            seen: HashSet::new(),
        }
    }
}

impl Claims {
    /// Only work on resources of this type.
    pub fn resource_type(mut self, resource_type: &str) -> Self {
        self.filter.resource_type = Some(resource_type.to_owned());
        self
    }

    /// Only work on the resource with this id.
    pub fn resource_id(mut self, resource_id: &str) -> Self {
        self.filter.resource_id = Some(resource_id.to_owned());
        self
    }

    /// Only work of dead services on this host.
    pub fn host(mut self, host: &str) -> Self {
        self.filter.host = Some(host.to_owned());
        self
    }

    /// Only work of dead services with this binary name.
    pub fn binary_name(mut self, binary_name: &str) -> Self {
        self.filter.binary_name = Some(binary_name.to_owned());
        self
    }

    /// Only work that this dead service has.
    pub fn crashed_service(mut self, service_id: i64) -> Self {
        self.filter.crashed_service_id = Some(service_id);
        self
    }

    /// Only work that was acquired by this moment of the *database's* clock, as read from its views.
    pub fn until(mut self, moment: SystemTime) -> Self {
        self.filter.until = Some(moment);
        self
    }

    /// The pause when there was no work, and before work that was given back is handed out again. Default: 5 seconds.
    pub fn every(self, pause: Duration) -> Self {
        Self { every: pause, ..self }
    }

    /// Claims the next piece of work that no other call is taking or repairing, or waits for one. `None` after the
    /// session was [stopped](Session::stop). What was claimed when the future is dropped is given back.
    /// *Errors:* [`Error::SessionLost`]; [`Error::Database`] with 22023 for an empty name. Passing ones are logged.
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
        let core = Arc::clone(&self.session.core);
        core.lease.check()?;
        let mut flight = Flight::new(&core, Uuid::new_v4(), OnDrop::Abandon, Places::default());
        let id = flight.id;
        let connection = flight.begin(Duration::ZERO).await?;
        let answer = sql::claim_cleanup(connection, core.service_id, 1, &self.filter, Some(id)).await;
        let claimed = flight.end(answer)?.pop().map(|row| {
            let (resource_type, resource_id) = (row.resource_type.clone(), row.resource_id.clone());
            let name = Name { resource_type, resource_id, lock_name: row.lock_name.clone() };
            Claimed { guard: flight.land(self.session.clone(), vec![(Arc::new(name), row.token)]), row }
        });
        core.lease.check()?;
        Ok(claimed)
    }
}

/// Work of a crashed service that this service has taken over. Made by [`Session::claims`].
///
/// It holds the lock on the resource, with a new, larger token. Bring the resource to a state that it can stay in, then
/// call [`finish_cleanup`](Self::finish_cleanup). A guard that is dropped gives the work back in the background, to be
/// claimed again.
#[must_use = "claimed work that is dropped is given back"]
pub struct Claimed {
    guard: Guard,
    row: ClaimedRow,
}

dereferences!(Claimed);
sets_status!(Claimed);

impl Claimed {
    /// What was being done, by which service, with its details.
    pub fn row(&self) -> &ClaimedRow {
        &self.row
    }

    /// Ends the work of a resource that is cleaned up, and frees its lock. Returns `false` if the lock was not held any
    /// more: another service may repeat the cleanup. Goes on when the future is dropped. After an error the work is
    /// given back, unless it was finished all the same.
    pub async fn finish_cleanup(mut self) -> Result<bool, Error> {
        finish(async move {
            let held = sql::finish_cleanup(&self.core().volguard, self.token()).await?;
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
