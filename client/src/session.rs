//! A registered service: one incarnation of a process, kept alive by heartbeats in the background.

mod clock;
mod core;
mod guarded;
mod heartbeat;
mod incarnations;
mod lease;
mod registration;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::acquire::{Acquire, AcquireAll, Wanted};
use crate::claim::{ClaimCleanup, Cleanups};
use crate::error::Error;
use crate::lock::Lock;
use crate::reaper::Reaper;
use crate::work::StartWork;

pub(crate) use self::core::{Core, REPLY_LIMIT};
pub use incarnations::Incarnations;
pub use lease::Loss;
pub use registration::Registration;

/// A registered service. Clones share it.
///
/// A background task sends heartbeats at a third of the lease, on a connection of its own beside the pool. The session
/// lives while heartbeats succeed. It is **lost**, for good, as soon as
/// - 90 % of a lease have passed since the last successful heartbeat was *sent*: well before the lease can end on the
///   server, which counts from the arrival, or
/// - the server says that the service is fenced, or
/// - [`stop`](Session::stop) was called.
///
/// Then [`lost`](Session::lost) resolves here and on every [`Lock`]. Acquires, status changes, assertions and fenced
/// updates fail with [`Error::SessionLost`] without asking the server. Stop the work that the locks protect, or run it
/// by [`Lock::run`], which stops it. To continue, register again ([`Registration::incarnations`]).
///
/// The clock is `CLOCK_MONOTONIC` and, where it exists (Linux, Android), also `CLOCK_BOOTTIME`, which continues while
/// the machine is suspended. The earlier deadline counts. The wall clock is never used. Every check compares the clocks
/// with the deadline. So a process that continues too late, after a SIGSTOP or a suspension, finds its session lost at
/// the first check, even if no timer has fired by then.
///
/// # What no clock can prevent
/// Any time may pass between a check and the next step of the program: the process may be stopped there, the storage
/// may keep a write in a queue. A virtual machine may be suspended without its clocks counting it. What must be safe
/// from that needs a fence, where the write takes effect:
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by), [`Lock::assert_held_in`], or storage that
/// refuses [tokens](Lock::token) smaller than the largest that it has seen. A program that checks neither
/// [`lost`](Session::lost) nor a fence has no protection at all.
///
/// When the last clone and the last [`Lock`] are dropped without [`stop`](Session::stop), heartbeats end. The server
/// treats the service like a crashed one when its lease expires.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    reaper: Reaper,
    /// Dropped with the last handle, which ends the heartbeats.
    _alive: oneshot::Sender<()>,
    /// Dropped with the last handle, which ends the janitor.
    _janitor: Option<tokio::sync::watch::Sender<()>>,
}

impl Session {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    pub(crate) fn reaper(&self) -> &Reaper {
        &self.inner.reaper
    }

    /// The number of this incarnation on the server. No number is used twice.
    pub fn service_id(&self) -> i64 {
        self.core().service_id
    }

    /// How long the server waits for a heartbeat before other services may clean up after this one.
    pub fn lease(&self) -> Duration {
        self.core().lease.length()
    }

    /// Prepares to take the lock named `""` (see [`Acquire::lock_name`]) of a resource. Nothing happens before
    /// the result is awaited.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// use std::time::Duration;
    ///
    /// let Some(lock) = session
    ///     .acquire("volume", "v-17")
    ///     .status("extending")
    ///     .wait(Duration::from_millis(1500))
    ///     .await?
    /// else {
    ///     return Ok(()); // it was not free in time
    /// };
    /// lock.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire(&self, resource_type: &str, resource_id: &str) -> Acquire {
        Acquire::new(self.clone(), resource_type, resource_id)
    }

    /// Prepares to take several locks at once, all or none. Nothing happens before the result is awaited.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// if let Some(set) = session.acquire_all([("volume", "v-17"), ("volume", "v-18")]).await? {
    ///     // ... work on both ...
    ///     set.release().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire_all<T: Into<Wanted>>(&self, wanted: impl IntoIterator<Item = T>) -> AcquireAll {
        let wanted = wanted.into_iter().map(Into::into).collect();
        AcquireAll::new(self.clone(), wanted)
    }

    /// Prepares to start work on a tracked resource: to take its lock and change its row, both or neither. Nothing
    /// happens before the result is awaited.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// use volguard::{WorkOutcome, column};
    ///
    /// let start = session
    ///     .start_work("volume", "v-17")
    ///     .expect("status", "available")
    ///     .set("status", "extending");
    /// if let WorkOutcome::Started(mut work) = start.await? {
    ///     // ... extend the volume, with `work.token()` as its fence ...
    ///     let end = work.finish().set("status", "available").set("size", column("size") + 1);
    ///     assert!(end.await?.is_updated());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_work(&self, resource_type: &str, resource_id: &str) -> StartWork {
        StartWork::new(self.clone(), resource_type, resource_id)
    }

    /// Prepares to take over work of crashed services of this cluster that no crash rule repairs. Nothing happens
    /// before the result is awaited.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// for work in session.claim_cleanup().max_rows(8).await? {
    ///     println!("{} {} was {}", work.resource_type(), work.resource_id(), work.status());
    ///     // ... bring it to a state that it can stay in ...
    ///     work.finish_cleanup().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn claim_cleanup(&self) -> ClaimCleanup {
        ClaimCleanup::new(self.clone())
    }

    /// The work of crashed services, for a handler: [`Cleanups::for_each`] runs as long as the session lives,
    /// [`Cleanups::after_restart`] is for what earlier incarnations of this service have left.
    pub fn cleanups(&self) -> Cleanups {
        Cleanups::new(self.clone())
    }

    /// Resolves with the reason when the session is lost; at once, if it already is.
    ///
    /// # Cancel safety
    /// May be dropped and called again at will.
    pub async fn lost(&self) -> Loss {
        self.core().lease.lost().await
    }

    /// Whether the session is lost, by the clock at this moment.
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// Why the session is lost, if it is.
    pub fn loss(&self) -> Option<Loss> {
        self.core().lease.check().err()
    }

    /// Cancelled when the session is lost, by a thread that doesn't depend on the runtime. For tasks, threads and
    /// libraries that take such a token.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.core().lease.over().child_token()
    }

    /// Runs `work` until it is done or the session is lost. On a loss, `work` is dropped and the loss returned. No step
    /// of `work` begins after the loss, even if the runtime's timers are late, and a result that comes too late is not
    /// returned. For work that one lock protects, see [`Lock::run`].
    ///
    /// # Errors
    /// The loss. The caller has to find out how far `work` has come.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        let guarded = &self.core().guarded;
        guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// When the session will be lost unless a heartbeat succeeds before; when it was lost, if it is. A suspension of
    /// the machine makes it earlier.
    ///
    /// Work that can't be fenced in the database should not begin a step that may end after this moment.
    pub fn lost_at(&self) -> Instant {
        self.core().lease.lost_at()
    }

    /// Releases the locks that this service holds on the server and this session doesn't know of. Returns their number.
    ///
    /// A session cleans up after itself. This call is for what it can't see, such as locks taken under its service id
    /// by other means. It waits for the acquires under way, because their tokens aren't known yet, and delays new ones
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::SessionLost`]; [`Error::ServiceFenced`], [`Error::Database`] if the server refuses. A server that can't
    /// be reached is asked again until the session is lost.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn reconcile(&self) -> Result<u64, Error> {
        let session = self.clone();
        finish(async move { session.core().reconcile().await }).await
    }

    /// Releases many locks of this session in one statement and one commit. Returns how many of them were still held.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the releases are repeated in the background,
    /// as if the locks had been dropped.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn release_all(&self, locks: Vec<Lock>) -> Result<u64, Error> {
        let session = self.clone();
        locks.iter().for_each(Lock::call_off);
        finish(async move {
            let tokens: Vec<i64> = locks.iter().map(Lock::token).collect();
            let released = session.core().release_all(&tokens).await?;
            locks.into_iter().for_each(Lock::disarm);
            Ok(released)
        })
        .await
    }

    /// Ends the session: every clone and lock of it is lost, acquires under way are cancelled, and dropped locks are
    /// released. The service is deregistered once nothing [runs](Self::run) under its guards any more. Returns how many
    /// locks with work in them (a status) are left to cleanup; the server drops plain locks that are still held.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`] if the server could not be reached before the lease
    /// would have expired: it then treats the service like a crashed one. [`Error::SessionLost`] if the session was
    /// lost before, or if work under its guards blocks its thread and so doesn't end in that time.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn stop(self) -> Result<u64, Error> {
        finish(async move {
            let core = self.core();
            core.lease.check().map_err(Error::SessionLost)?;
            let deadline = core.lease.lost_at();
            core.lease.lose(Loss::Stopped);
            // Deregistering frees the locks at once, so the work under them must have ended.
            let ended = timeout_at(deadline, core.guarded.none_left()).await;
            ended.map_err(|_| Error::SessionLost(Loss::LeaseRanOut))?;
            // An acquire under way holds `gate` until its outcome is known. One that can't be cancelled gets no lock
            // once the service is gone.
            let settled = async {
                drop(core.gate.write().await);
                self.reaper().flush().await;
            };
            let patience = deadline.min(Instant::now() + STOP_PATIENCE);
            if timeout_at(patience, settled).await.is_err() {
                tracing::warn!(service_id = core.service_id, "stopped with releases undone");
            }
            core.deregister(deadline).await
        })
        .await
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("service_id", &self.service_id())
            .field("loss", &self.loss())
            .finish_non_exhaustive()
    }
}

/// How long stopping waits for acquires and releases under way.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Runs `work` to its end, even if the caller drops the future.
pub(crate) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(Error::SessionLost(Loss::Stopped)),
        },
    }
}
