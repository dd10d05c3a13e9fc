//! Handing claimed work to a handler.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{ClaimCleanup, ClaimedCleanup};
use crate::cleanup::Cleanup;
use crate::error::Error;
use crate::session::{Loss, Session};
use crate::statements;

/// How often to ask for work by default.
const EVERY: Duration = Duration::from_secs(5);

/// The work that crashed services have left, piece by piece. Made by [`Session::cleanups`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `for_each` or `after_restart`"]
pub struct Cleanups {
    session: Session,
    resource_type: Option<String>,
    concurrency: usize,
    every: Duration,
}

/// What [`Cleanups::after_restart`] has done.
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

impl Cleanups {
    pub(crate) fn new(session: Session) -> Cleanups {
        Cleanups { session, resource_type: None, concurrency: 1, every: EVERY }
    }

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

    /// Claims work and hands each piece to `handler`, until the session is lost. If the handler returns `Ok`, the work
    /// is finished. On an `Err` or a panic the work is given back, and is claimed again after all other work.
    ///
    /// Each handler runs in a task of its own, by [`Lock::run`](crate::Lock::run): when the session is lost it is
    /// cancelled.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard, session: volguard::Session) -> Result<(), volguard::Error> {
    /// session
    ///     .cleanups()
    ///     .resource_type("volume")
    ///     .for_each(move |work| {
    ///         let volguard = volguard.clone();
    ///         async move {
    ///             let reset = volguard
    ///                 .update("volumes")
    ///                 .key("id", work.resource_id())
    ///                 .expect("status", work.status())
    ///                 .set("status", "error")
    ///                 .fenced_by(&work);
    ///             reset.execute().await.map(drop)
    ///         }
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::SessionLost`] when the session is lost, but `Ok` if it was [stopped](Session::stop).
    /// [`Error::Database`] if the server refuses the claims: 22023 for an empty resource type. Passing errors are
    /// logged, and the claim is repeated.
    ///
    /// # Cancel safety
    /// When the future is dropped, handlers are cancelled and their work is given back.
    pub async fn for_each<H, F, E>(self, handler: H) -> Result<(), Error>
    where
        H: Fn(Arc<ClaimedCleanup>) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut not_before = Instant::now();
        loop {
            let free = self.concurrency.saturating_sub(running.len());
            if free > 0 && not_before <= Instant::now() {
                match self.claim(free).await {
                    Ok(claimed) if claimed.is_empty() => not_before = Instant::now() + self.every,
                    Ok(claimed) => {
                        for work in claimed {
                            let work = Arc::new(work);
                            running.spawn(handle(Arc::clone(&work), handler(work)));
                        }
                        continue;
                    }
                    Err(Error::SessionLost(loss)) => return ending(loss),
                    Err(error) if error.is_retryable() => {
                        tracing::debug!(%error, "a claim failed and is repeated later");
                        not_before = Instant::now() + self.every;
                    }
                    Err(error) => return Err(error),
                }
            }
            tokio::select! {
                loss = self.session.lost() => return ending(loss),
                Some(done) = running.join_next() => {
                    if !matches!(done, Ok(Handled::Finished)) {
                        // The work comes back at the end of the queue, which may consist of nothing else.
                        not_before = not_before.max(Instant::now() + self.every);
                    }
                }
                () = sleep_until(not_before), if free > 0 => {}
            }
        }
    }

    /// Cleans up after the earlier incarnations of this service, and returns when that is done. For the start of a
    /// program, before it takes new work. The crash rules come first, then `handler`, as in
    /// [`for_each`](Self::for_each). Work on which it fails is given back at the end.
    ///
    /// From the registration on, no other service takes that work for as long as the lease of the earlier incarnation
    /// was.
    ///
    /// # Errors
    /// [`Error::SessionLost`], [`Error::ServiceFenced`], [`Error::Pool`], [`Error::Database`], [`Error::NoReply`].
    /// Running handlers are then cancelled.
    ///
    /// # Cancel safety
    /// When the future is dropped, handlers are cancelled and their work is given back.
    pub async fn after_restart<H, F, E>(self, handler: H) -> Result<Restarted, Error>
    where
        H: Fn(Arc<ClaimedCleanup>) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut restarted = Restarted::default();
        let mut awaiting = 0;
        let (volguard, request) = (&self.session.core().volguard, self.own().await?);
        for service in volguard.cleanup(request).await? {
            restarted.resources_cleaned += service.resources_cleaned;
            awaiting += service.awaiting as usize;
        }
        let mut running = JoinSet::new();
        // All guards are kept until the end, so that a claim doesn't return failed work before the rest.
        let mut kept = Vec::new();
        loop {
            let free = self.concurrency.saturating_sub(running.len()).min(awaiting);
            let claimed = match free {
                0 => Vec::new(),
                _ => self.claim(free).await?,
            };
            // The service's own work comes first, so none is left.
            awaiting = if claimed.is_empty() && free > 0 { 0 } else { awaiting - claimed.len() };
            for work in claimed {
                let work = Arc::new(work);
                kept.push(Arc::clone(&work));
                running.spawn(handle(Arc::clone(&work), handler(work)));
            }
            tokio::select! {
                loss = self.session.lost() => return Err(Error::SessionLost(loss)),
                done = running.join_next() => match done {
                    Some(Ok(Handled::Finished)) => restarted.finished += 1,
                    Some(_) => restarted.abandoned += 1,
                    None => return Ok(restarted),
                },
            }
        }
    }

    async fn claim(&self, most: usize) -> Result<Vec<ClaimedCleanup>, Error> {
        let claim = ClaimCleanup::new(self.session.clone()).max_rows(most);
        match &self.resource_type {
            Some(resource_type) => claim.resource_type(resource_type).run().await,
            None => claim.run().await,
        }
    }

    /// Selects what this service's earlier incarnations have left.
    async fn own(&self) -> Result<Cleanup, Error> {
        let core = self.session.core();
        let row = core.volguard.row(&statements::SERVICE_NAMES, &[&core.service_id]).await?;
        let request = Cleanup::all().cluster(row.try_get(0)?).host(row.try_get(1)?).binary_name(row.try_get(2)?);
        Ok(match &self.resource_type {
            Some(resource_type) => request.resource_type(resource_type),
            None => request,
        })
    }
}

/// The outcome of one piece of work.
enum Handled {
    Finished,
    /// The work has to be given back, which the drop of the guard does, or is not held any more.
    Failed,
}

async fn handle<E: Display>(work: Arc<ClaimedCleanup>, handler: impl Future<Output = Result<(), E>>) -> Handled {
    let (resource_type, resource_id) = (work.resource_type(), work.resource_id());
    match work.run(handler).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(resource_type, resource_id, %error, "a cleanup has failed and is given back");
            return Handled::Failed;
        }
        Err(loss) => {
            tracing::warn!(resource_type, resource_id, %loss, "a cleanup was cancelled");
            return Handled::Failed;
        }
    }
    match work.finish().await {
        Ok(true) => Handled::Finished,
        Ok(false) => {
            tracing::warn!(resource_type, resource_id, "a cleanup was finished too late");
            Handled::Failed
        }
        Err(error) => {
            tracing::warn!(resource_type, resource_id, %error, "a cleanup could not be finished");
            Handled::Failed
        }
    }
}

fn ending(loss: Loss) -> Result<(), Error> {
    match loss {
        Loss::Stopped => Ok(()),
        loss => Err(Error::SessionLost(loss)),
    }
}
