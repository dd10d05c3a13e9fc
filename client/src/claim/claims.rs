//! The work that crashed services have left, piece by piece.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Claimed;
use crate::error::Error;
use crate::loss::Loss;
use crate::reaper::{self, GRACE};
use crate::session::Session;
use crate::sql::{self, Cleanup};
use crate::state::{Core, Unsettled};

/// How often to ask for work by default.
const EVERY: Duration = Duration::from_secs(5);

/// The work that crashed services have left and no crash rule repairs. Made by [`Session::claims`].
///
/// ```no_run
/// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
/// let mut claims = session.claims().resource_type("volume");
/// while let Some(work) = claims.next().await? {
///     println!("{} {} was {}", work.resource_type(), work.resource_id(), work.status());
///     // ... bring it to a state that it can stay in, with `fenced_by(&work)` ...
///     work.finish_cleanup().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `next`, `for_each` or `after_restart`"]
pub struct Claims {
    session: Session,
    resource_type: Option<String>,
    concurrency: usize,
    every: Duration,
    not_before: Option<Instant>,
}

/// What [`Claims::after_restart`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restarted {
    /// Resources that crash rules have repaired.
    pub resources_cleaned: u64,
    /// Pieces of work that the handler has cleaned up.
    pub finished: u64,
    /// Pieces of work on which the handler failed or was too late: they were given back.
    pub abandoned: u64,
}

impl Session {
    /// The work of crashed services of this cluster: this service's earlier incarnations come first, then the others.
    /// [`Claims::next`] and [`Claims::for_each`] go on as long as the session lives, [`Claims::after_restart`] is for what
    /// earlier incarnations of this service have left.
    pub fn claims(&self) -> Claims {
        Claims { session: self.clone(), resource_type: None, concurrency: 1, every: EVERY, not_before: None }
    }
}

impl Claims {
    /// Only work on resources of this type.
    pub fn resource_type(mut self, resource_type: &str) -> Self {
        self.resource_type = Some(resource_type.to_owned());
        self
    }

    /// How many handlers may run at once. Default: one.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// How long to wait before asking again when there was no work, or when a handler failed. Default: five seconds.
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// Claims the next piece of work that no other call is taking or repairing; waits until there is one. `None` after
    /// the session was [stopped](Session::stop).
    ///
    /// # Errors
    /// [`Error::SessionLost`] when the session is lost. [`Error::Database`] if the server refuses the claims: 22023 for an
    /// empty resource type. Passing errors are logged, and the claim is repeated.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: what was claimed is given back.
    pub async fn next(&mut self) -> Result<Option<Claimed>, Error> {
        loop {
            if let Some(not_before) = self.not_before {
                tokio::select! {
                    () = sleep_until(not_before) => {}
                    loss = self.session.lost() => return ending(loss),
                }
            }
            match self.try_next().await {
                Ok(Some(claimed)) => {
                    self.not_before = None;
                    return Ok(Some(claimed));
                }
                Ok(None) => {}
                Err(Error::SessionLost(loss)) => return ending(loss),
                Err(error) if error.is_retryable() => tracing::debug!(%error, "a claim failed and is repeated later"),
                Err(error) => return Err(error),
            }
            self.pause();
        }
    }

    fn pause(&mut self) {
        self.not_before = self.not_before.max(Some(Instant::now() + self.every));
    }

    /// Claims a piece of work if there is one now.
    ///
    /// # Errors
    /// Those of [`next`](Self::next), also passing ones, and [`Error::ServiceFenced`]: the server refuses this service.
    /// After an error no claim stays behind: if the server has granted one after all, it is given back in the background.
    ///
    /// # Cancel safety
    /// When the future is dropped, what was claimed is given back.
    pub async fn try_next(&mut self) -> Result<Option<Claimed>, Error> {
        let core = self.session.core();
        core.lease.check()?;
        let gate = tokio::select! {
            gate = Arc::clone(&core.gate).read_owned() => gate,
            loss = core.lease.lost() => return Err(loss.into()),
        };
        let connection = core.volguard.connection().await?;
        let mut doubt = Doubt { core: Arc::clone(core), id: Uuid::new_v4(), kept: Some(gate) };
        let (resource_type, id) = (self.resource_type.as_deref(), Some(doubt.id));
        let call = sql::claim_cleanup(&connection, core.service_id, 1, resource_type, id);
        let rows = match connection.run("claim_cleanup", call).await {
            Err(error) if error.leaves_doubt() => return Err(error),
            answer => answer,
        };
        // The gate is open until the guard has made the token known.
        let _gate = doubt.kept.take();
        let rows = rows.inspect_err(|error| core.heed(error))?;
        let claimed = rows.into_iter().next().map(|row| Claimed::new(self.session.clone(), doubt.id, row));
        core.lease.check()?;
        Ok(claimed)
    }

    /// Claims work and hands each piece to `handler`, until the session is lost. If the handler returns `Ok`, the work is
    /// finished. On an `Err` or a panic the work is given back, and is claimed again after all other work.
    ///
    /// Each handler runs in a task of its own, by [`Held::run`](crate::Held::run): when the session is lost it is
    /// cancelled.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard, session: volguard::Session) -> Result<(), volguard::Error> {
    /// session
    ///     .claims()
    ///     .for_each(move |work| {
    ///         let reset = volguard
    ///             .update("volumes")
    ///             .key("id", work.resource_id())
    ///             .expect("status", work.status())
    ///             .set("status", "error")
    ///             .fenced_by(&work);
    ///         async move { reset.await.map(drop) }
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`next`](Self::next), but `Ok` if the session was [stopped](Session::stop).
    ///
    /// # Cancel safety
    /// When the future is dropped, handlers are cancelled and their work is given back.
    pub async fn for_each<H, F, E>(mut self, handler: H) -> Result<(), Error>
    where
        H: Fn(Arc<Claimed>) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut running = JoinSet::new();
        let session = self.session.clone();
        loop {
            let free = running.len() < self.concurrency;
            tokio::select! {
                loss = session.lost() => return ending(loss).map(|_: Option<()>| ()),
                claimed = self.next(), if free => match claimed? {
                    None => return Ok(()),
                    Some(work) => {
                        let work = Arc::new(work);
                        running.spawn(handle(Arc::clone(&work), handler(work)));
                    }
                },
                Some(done) = running.join_next() => {
                    if !matches!(done, Ok(true)) {
                        // The work comes back at the end of the queue, which may consist of nothing else.
                        self.pause();
                    }
                }
            }
        }
    }

    /// Cleans up after the earlier incarnations of this service, and returns when that is done. For the start of a
    /// program, before it takes new work. The crash rules come first, then `handler`, as in [`for_each`](Self::for_each).
    /// Work on which it fails is given back at the end.
    ///
    /// From the registration on, no other service takes that work for as long as the lease of the earlier incarnation
    /// lasts.
    ///
    /// # Errors
    /// Those of [`try_next`](Self::try_next) and of [`Volguard::cleanup`](crate::Volguard::cleanup). Calling it again goes
    /// on.
    ///
    /// # Cancel safety
    /// When the future is dropped, handlers are cancelled and their work is given back.
    pub async fn after_restart<H, F, E>(mut self, handler: H) -> Result<Restarted, Error>
    where
        H: Fn(Arc<Claimed>) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut restarted = Restarted::default();
        let mut awaiting = 0;
        for service in self.session.core().volguard.cleanup(&self.own().await?).await? {
            restarted.resources_cleaned += service.resources_cleaned;
            awaiting += service.awaiting;
        }
        let mut running = JoinSet::new();
        // All guards are kept until the end, so that a claim doesn't return failed work before the rest.
        let mut kept = Vec::new();
        let session = self.session.clone();
        loop {
            while awaiting > 0 && running.len() < self.concurrency {
                // The service's own work comes first, so without any none is left.
                let Some(work) = self.try_next().await? else {
                    awaiting = 0;
                    break;
                };
                awaiting -= 1;
                let work = Arc::new(work);
                kept.push(Arc::clone(&work));
                running.spawn(handle(Arc::clone(&work), handler(work)));
            }
            tokio::select! {
                loss = session.lost() => return Err(loss.into()),
                done = running.join_next() => match done {
                    Some(Ok(true)) => restarted.finished += 1,
                    Some(_) => restarted.abandoned += 1,
                    None => return Ok(restarted),
                },
            }
        }
    }

    /// Selects what this service's earlier incarnations have left.
    async fn own(&self) -> Result<Cleanup, Error> {
        let core = self.session.core();
        let connection = core.volguard.connection().await?;
        let mut own = connection.run("service_names", sql::service_names(&connection, core.service_id)).await?;
        own.resource_type.clone_from(&self.resource_type);
        Ok(own)
    }
}

/// A claim whose answer is not there. If it is dropped, the session gives back what the claim has taken after all.
struct Doubt {
    core: Arc<Core>,
    id: Uuid,
    kept: Option<tokio::sync::OwnedRwLockReadGuard<()>>,
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if let Some(gate) = self.kept.take() {
            let doubt = Unsettled { names: Vec::new(), until: Instant::now() + GRACE, work: false };
            reaper::settle(&self.core, self.id, doubt, None, gate);
        }
    }
}

/// Whether the work is finished. Otherwise it has to be given back, which the drop of the guard does, or is not held any
/// more.
async fn handle<E: Display>(work: Arc<Claimed>, handler: impl Future<Output = Result<(), E>>) -> bool {
    let (resource_type, resource_id) = (work.resource_type(), work.resource_id());
    match work.run(handler).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(resource_type, resource_id, %error, "a cleanup has failed and is given back");
            return false;
        }
        Err(loss) => {
            tracing::warn!(resource_type, resource_id, %loss, "a cleanup was cancelled");
            return false;
        }
    }
    match work.end().await {
        Ok(held) => {
            if !held {
                tracing::warn!(resource_type, resource_id, "a cleanup was finished too late");
            }
            held
        }
        Err(error) => {
            tracing::warn!(resource_type, resource_id, %error, "a cleanup could not be finished");
            false
        }
    }
}

fn ending<T>(loss: Loss) -> Result<Option<T>, Error> {
    match loss {
        Loss::Stopped => Ok(None),
        loss => Err(loss.into()),
    }
}
