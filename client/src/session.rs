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
/// A background task heartbeats at a third of the lease, on a connection of its own beside the pool. While
/// heartbeats succeed the session lives. It is **lost**, for good, as soon as
/// - 90 % of a lease have passed since the last successful heartbeat was *sent*: well before the lease can end
///   on the server, where it counts from the arrival, or
/// - the server says that the service is fenced, or
/// - [`stop`](Session::stop) was called.
///
/// Then [`lost`](Session::lost) resolves here and on every [`Lock`], and acquires, status changes, assertions
/// and fenced updates are refused with [`Error::SessionLost`] without asking the server. Stop the work that the
/// locks protect, or let it run by [`Lock::run`], which does so; to go on, register anew
/// ([`Registration::incarnations`]).
///
/// The clock is `CLOCK_MONOTONIC`, and where there is one (Linux, Android) also `CLOCK_BOOTTIME`, which goes on while the whole
/// machine is suspended; the earlier one counts, and the wall clock never does. Every check compares them with the deadline, so a
/// process that is continued too late, after a SIGSTOP or a suspension, finds itself lost at its first check, whatever its timers
/// have done by then.
///
/// # What no clock can prevent
/// Between a check and what the program does next any time may pass: the process may be stopped there, the storage may keep a
/// write in a queue. A virtual machine may be put to sleep without its clocks knowing. What has to be safe from that needs a
/// fence, where the write takes effect: [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by),
/// [`Lock::assert_held_in`], or storage that refuses [tokens](Lock::token) smaller than the largest that it has seen. And a
/// program that looks neither at [`lost`](Session::lost) nor at a fence has no protection at all.
///
/// When the last clone and the last [`Lock`] are dropped without [`stop`](Session::stop), heartbeats end, and
/// the server treats the service like a crashed one when its lease runs out.
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

    /// The number of this incarnation on the server. Never used twice.
    pub fn service_id(&self) -> i64 {
        self.core().service_id
    }

    /// How long the server waits for a heartbeat before others may clean up after this service.
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
    ///     return Ok(()); // somebody else had it all the time
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

    /// Prepares to take over work of crashed services of this cluster that no crash rule repairs. Nothing happens before
    /// the result is awaited.
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

    /// The work that crashed services leave, to be handed to a handler: [`Cleanups::for_each`] for as long as the session
    /// lives, [`Cleanups::after_restart`] for what earlier incarnations of this service have left.
    pub fn cleanups(&self) -> Cleanups {
        Cleanups::new(self.clone())
    }

    /// Resolves when the session is lost, and says why. At once, if it is.
    ///
    /// # Cancel safety
    /// May be dropped and called again at will.
    pub async fn lost(&self) -> Loss {
        self.core().lease.lost().await
    }

    /// Whether the session is lost, by this very moment's clock.
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// Why the session is lost, if it is.
    pub fn loss(&self) -> Option<Loss> {
        self.core().lease.check().err()
    }

    /// Cancelled when the session is lost, by a thread that looks after this whatever the runtime does; to hand to tasks, threads
    /// and libraries that know such tokens.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.core().lease.over().child_token()
    }

    /// Runs `work` until it is done, or until the session is lost: then it is dropped, and the loss is returned. No step of it
    /// begins after the loss, even if the runtime's timers are late, and a result that came too late is not returned. See
    /// [`Lock::run`] for the work that one lock protects.
    ///
    /// # Errors
    /// The loss. How far `work` had come is for the caller to find out.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        let guarded = &self.core().guarded;
        guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// When the session will be lost unless a heartbeat succeeds before; when it was lost, if it is. A suspension of the machine
    /// brings it nearer than this says.
    ///
    /// Work that can't be fenced in the database should not begin a step that may end after this moment.
    pub fn lost_at(&self) -> Instant {
        self.core().lease.lost_at()
    }

    /// Releases on the server what this service holds there and this session does not know of, and says how
    /// many.
    ///
    /// The session cleans up behind itself without being asked. This is the broom for what it could not see, such as
    /// locks taken under its service id by other means. It waits for the acquires under way, because their
    /// tokens aren't known yet, and holds off new ones meanwhile.
    ///
    /// # Errors
    /// [`Error::SessionLost`]; [`Error::ServiceFenced`], [`Error::Database`] if the server refuses. While the
    /// server can't be reached it is asked again until the session is lost.
    ///
    /// # Cancel safety
    /// Goes on in the background when the future is dropped.
    pub async fn reconcile(&self) -> Result<u64, Error> {
        let session = self.clone();
        finish(async move { session.core().reconcile().await }).await
    }

    /// Releases many locks of this session in one statement and one commit, and says how many of them were still held.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the releases are repeated in the background,
    /// as if the locks had been dropped.
    ///
    /// # Cancel safety
    /// Goes on in the background when the future is dropped.
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

    /// Ends the session in order: every clone and lock of it is lost, acquires under way are called off,
    /// dropped locks are released, and the service is deregistered, once nothing [runs](Self::run) under its guards any more. Returns how many locks with work in them (a
    /// status) it leaves to cleanup; plain locks still held are dropped by the server.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`] if the server could not be told before the
    /// lease would have run out: then it treats the service like a crashed one. [`Error::SessionLost`] if the
    /// session was lost before, or if what runs under its guards blocks its thread and so can't be ended in that time.
    ///
    /// # Cancel safety
    /// Goes on in the background when the future is dropped.
    pub async fn stop(self) -> Result<u64, Error> {
        finish(async move {
            let core = self.core();
            core.lease.check().map_err(Error::SessionLost)?;
            let deadline = core.lease.lost_at();
            core.lease.lose(Loss::Stopped);
            // The server gives the locks away at once.
            let ended = timeout_at(deadline, core.guarded.none_left()).await;
            ended.map_err(|_| Error::SessionLost(Loss::LeaseRanOut))?;
            // Acquires under way hold the gate until they know what became of them. One that can't be called off
            // gets nothing any more once the service is gone.
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

/// Runs `work` to its end, whether or not the caller waits for it.
pub(crate) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down.
            Err(_) => Err(Error::SessionLost(Loss::Stopped)),
        },
    }
}
