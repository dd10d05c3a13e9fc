//! The work that crashed services have left, piece by piece.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Claimed;
use crate::error::Error;
use crate::key::Name;
use crate::loss::Loss;
use crate::reaper::{self, GRACE, Unsettled};
use crate::session::Session;
use crate::sql;
use crate::state::Core;

/// How often to ask for work by default.
const EVERY: Duration = Duration::from_secs(5);

/// The work that crashed services have left and no crash rule repairs, one piece after the other. Made by
/// [`Session::claims`].
///
/// ```no_run
/// # async fn repair(work: &volguard::Claimed) -> std::io::Result<()> { Ok(()) }
/// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
/// let mut claims = session.claims().resource_type("volume");
/// while let Some(work) = claims.next().await? {
///     tokio::spawn(async move {
///         // Brings the resource to a state that it can stay in, with `fenced_by(&work)`.
///         match work.run(repair(&work)).await {
///             Ok(Ok(())) => work.finish_cleanup().await.map(drop),
///             _ => work.abandon_cleanup().await.map(drop), // the next claim takes it again
///         }
///     });
/// }
/// # Ok(())
/// # }
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
    /// The work of crashed services of this cluster: that of this service's earlier incarnations first, then the others'.
    ///
    /// For the start of a program: call [`Volguard::cleanup`](crate::Volguard::cleanup) for its host and binary name after
    /// the registration, then [`Claims::try_next`] until there is none. No other service takes the work of an earlier
    /// incarnation before its lease is over.
    pub fn claims(&self) -> Claims {
        Claims { session: self.clone(), resource_type: None, every: EVERY, seen: HashSet::new() }
    }
}

impl Claims {
    /// Only work on resources of this type.
    pub fn resource_type(mut self, resource_type: &str) -> Self {
        self.resource_type = Some(resource_type.to_owned());
        self
    }

    /// How long to wait before asking again when there was no work, and before work that was given back is handed out once
    /// more. Default: five seconds.
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// Claims the next piece of work that no other call is taking or repairing; waits until there is one. `None` after the
    /// session was [stopped](Session::stop).
    /// *Errors:* [`Error::SessionLost`] when the session is lost. [`Error::Database`] if the server refuses the claims:
    /// 22023 for an empty resource type. Passing errors are logged, and the claim is repeated.
    /// *Cancel safety:* What was claimed is given back.
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
            let again = claimed.as_ref().is_none_or(|work| self.seen.contains(work.name()));
            if again {
                let pause = async { sleep(self.every).await };
                match self.session.run(pause).await {
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

    /// Claims a piece of work if there is one now.
    /// *Errors:* Those of [`next`](Self::next), also passing ones, and [`Error::ServiceFenced`]: the server refuses
    /// this service. What the server has granted after all is given back in the background.
    /// *Cancel safety:* What was claimed is given back.
    pub async fn try_next(&mut self) -> Result<Option<Claimed>, Error> {
        let core = self.session.core();
        core.lease.check()?;
        let connection = core.volguard.connection().await?;
        let mut doubt = Doubt { core: Arc::clone(core), request_id: Some(Uuid::new_v4()) };
        let request_id = doubt.request_id;
        let call = sql::claim_cleanup(&connection, core.service_id, 1, self.resource_type.as_deref(), request_id);
        let answer = connection.run("claim_cleanup", call).await.inspect_err(|error| core.heed(error));
        if !matches!(&answer, Err(error) if error.leaves_doubt()) {
            doubt.request_id = None;
        }
        let row = answer?.into_iter().next();
        let claimed = row.map(|row| Claimed::new(self.session.clone(), request_id.unwrap_or_default(), row));
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
        let (names, places, until, running) = (Vec::new(), None, Instant::now() + GRACE, None);
        reaper::settle(&self.core, Unsettled { request_id, names, places, until, running });
    }
}
