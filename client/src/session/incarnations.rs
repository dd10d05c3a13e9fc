//! One session after the other, for a program that continues when a session is lost.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Registration, Session};
use crate::backoff::pauses;
use crate::error::Error;
use crate::loss::Loss;
use crate::state::Core;

/// The incarnations of one process, one after the other. Made by [`Registration::incarnations`].
///
/// Each is a [`Session`] with a service id of its own. What the previous one held is lost to this process: its guards
/// stay lost, and cleanup repairs what was done under them.
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
/// # async fn serve(session: volguard::Session) {}
/// let mut incarnations = volguard.register("node-1", "volume-manager").incarnations();
/// while let Some(session) = incarnations.next().await? {
///     // Dropped as soon as the session is lost.
///     if session.run(serve(session.clone())).await.is_ok() {
///         session.stop().await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is registered before `next`"]
pub struct Incarnations {
    pub(super) registration: Registration,
    pub(super) current: Option<Arc<Core>>,
}

impl Incarnations {
    /// Waits until the session that it returned last is lost, and registers again. Returns `None` if that session was
    /// [stopped](Session::stop). A session whose handles were all dropped is lost when its lease expires.
    ///
    /// What runs under the guards of the lost session ([`Session::run`], [`Held::run`](crate::Held::run)) has ended
    /// before: registering fences that session, which frees its locks for others. A server that can't be reached is
    /// asked again until it answers. No incarnation is returned twice. One whose registration was under way when the
    /// future was dropped is fenced by the next.
    /// *Errors:* [`Error::Superseded`] if another live process has registered under the same name since. Registering
    /// again would fence that process, which would then fence this one in turn. Otherwise the errors of
    /// [`Volguard::register`](crate::Volguard::register), except for passing ones: a wrong password or a missing
    /// database ends it. Calling it again tries again.
    pub async fn next(&mut self) -> Result<Option<Session>, Error> {
        let mut previous = None;
        if let Some(core) = &self.current {
            let loss = core.lease.lost().await;
            core.guarded.none_left().await;
            if loss == Loss::Stopped {
                return Ok(None);
            }
            tracing::info!(service_id = core.service_id, %loss, "registering again");
            // Idle connections of the pool have been silent for a lease: they may be dead, unnoticed by the pool.
            self.registration.volguard.drop_idle();
            previous = Some(core.service_id);
        }
        let mut told = false;
        for pause in pauses() {
            match self.registration.clone().begin_after(previous).await {
                Ok(session) => {
                    self.current = Some(Arc::clone(session.core()));
                    return Ok(Some(session));
                }
                // Also if the answers to a registration come so late that its lease has expired.
                Err(error) if error.is_retryable() || matches!(error, Error::SessionLost(_)) => {
                    match std::mem::replace(&mut told, true) {
                        false => tracing::warn!(%error, "not registered yet, and tried again"),
                        true => tracing::debug!(%error, "not registered yet"),
                    }
                    sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the pauses have no end")
    }
}
