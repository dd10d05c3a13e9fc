//! A registered service: one incarnation of a process, kept alive by heartbeats in the background.

mod registration;

pub use self::registration::{Incarnations, Registration};
use crate::{Error, Loss, backoff, sql, state::Core};
use backon::Retryable;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long stopping waits for acquires and releases under way.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A registered service. Clones share it.
///
/// A task sends heartbeats at a third of the lease, on a connection of its own. The session is **lost**, for good, when
/// - 90 % of a lease have passed since the last successful heartbeat was *sent*; the server counts from the arrival, or
/// - the server says that the service is fenced, or
/// - [`stop`](Session::stop) was called.
///
/// Then [`lost`](Session::lost) resolves here and on every guard. Stop the work that the locks protect, or run it by
/// [`Held::run`](crate::Held::run), which stops it. A program that checks neither that nor a fence has no protection:
/// see [the clock of a session](crate#the-clock-of-a-session). To continue, register again
/// ([`Registration::incarnations`]).
///
/// Dropping the last clone and guard ends the heartbeats: the service counts as crashed after its lease.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) core: Arc<Core>,
    /// Dropped with the last handle, which ends the heartbeats and the janitor.
    _used: Arc<DropGuard>,
}

impl Session {
    /// The number of this incarnation on the server. No number is used twice.
    pub fn service_id(&self) -> i64 {
        self.core.service_id
    }

    /// How long the server waits for a heartbeat before other services may clean up after this one.
    pub fn lease(&self) -> Duration {
        self.core.lease.length()
    }

    /// Resolves with the reason when the session is lost; at once, if it already is.
    pub async fn lost(&self) -> Loss {
        self.core.lease.lost().await
    }

    /// Why the session is lost, by the clock at this moment; `None` as long as it isn't.
    pub fn loss(&self) -> Option<Loss> {
        self.core.lease.check().err()
    }

    /// Cancelled when the session is lost, by a thread of its own: for tasks, threads and libraries.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.core.lease.over.child_token()
    }

    /// Runs `work` until it is done or the session is lost, as [`Held::run`](crate::Held::run) does with a lock.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        self.core.guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// When the session will be lost unless a heartbeat succeeds before; when it was lost, if it is. Work that can't be
    /// fenced should not begin a step that may end after this moment.
    pub fn lost_at(&self) -> Instant {
        self.core.lease.lost_at()
    }

    /// Ends the session: every clone and lock of it is lost, acquires under way are cancelled, and dropped locks are
    /// released. The service is deregistered once nothing [runs](Self::run) under its guards any more. Returns how many
    /// locks with work in them (a status) are left to cleanup; the server drops plain locks that are still held. Goes
    /// on when the future is dropped.
    /// *Errors:* If the server could not be reached, or work under the guards did not end, within the lease: the server
    /// then treats the service like a crashed one.
    pub async fn stop(self) -> Result<u64, Error> {
        finish(async move {
            let core = &self.core;
            core.lease.check()?;
            let deadline = core.lease.lost_at();
            core.lease.lose(Loss::Stopped);
            // Deregistering frees the locks at once, so the work under them must have ended.
            let ended = timeout_at(deadline, core.guarded.none_left()).await;
            ended.map_err(|_| Error::SessionLost(Loss::LeaseRanOut))?;
            // Releases and settlements. A request that is still under way gets no lock once the service is gone.
            core.tasks.close();
            let patience = deadline.min(Instant::now() + STOP_PATIENCE);
            if timeout_at(patience, core.tasks.wait()).await.is_err() {
                tracing::warn!(service_id = core.service_id, "stopped with releases undone");
            }
            let deregister = || async {
                // After a connection that answers nothing there is time for another.
                let limit = STOP_PATIENCE.min(deadline.saturating_duration_since(Instant::now()) / 2);
                let call = sql::deregister_service(&core.volguard, core.service_id);
                timeout(limit, call).await.unwrap_or(Err(Error::NoReply))
            };
            let deregistered = deregister.retry(backoff::endless()).sleep(sleep);
            let deregistered = deregistered.when(|error| error.is_retryable() && Instant::now() < deadline);
            timeout_at(deadline, deregistered).await.unwrap_or(Err(Error::NoReply))
        })
        .await
    }
}

/// Runs `work` to its end, even if the caller drops the future.
pub(crate) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work).await.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is shutting down.
        Err(Err(_)) => Err(Error::SessionLost(Loss::Stopped)),
    }
}
