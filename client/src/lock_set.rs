//! One guard for several locks.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use crate::error::Error;
use crate::lock::Lock;
use crate::session::{Loss, Session};

/// Several locks that this process holds, as far as it knows. Made by [`Session::acquire_all`].
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard, session: volguard::Session) -> Result<(), volguard::Error> {
/// use std::time::Duration;
/// use volguard::Wanted;
///
/// let wanted = [
///     Wanted::new("volume", "v-17").status("copying"),
///     Wanted::new("volume", "v-18").status("creating"),
/// ];
/// let Some(set) = session.acquire_all(wanted).wait(Duration::from_secs(5)).await? else {
///     return Ok(()); // not all of them were free in time
/// };
/// let [source, target] = set.locks() else { unreachable!("two were asked for") };
/// println!("fencing tokens {} and {}", source.token(), target.token());
/// let update = volguard.update("volumes").key("id", target.resource_id()).set("status", "available");
/// if update.fenced_by(target).execute().await?.is_updated() {
///     set.release().await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Each of its locks is a [`Lock`] like any other: check them by [`lost`](LockSet::lost) and
/// [`is_lost`](LockSet::is_lost), and fence by the token of each.
///
/// [`release`](LockSet::release) frees them in one commit. The locks of a set that is dropped are released in the
/// background, like a dropped [`Lock`].
#[must_use = "locks that are dropped are released"]
pub struct LockSet {
    session: Session,
    locks: Vec<Lock>,
}

impl LockSet {
    pub(crate) fn new(session: Session, locks: Vec<Lock>) -> LockSet {
        LockSet { session, locks }
    }

    /// The locks, in the order of the request.
    pub fn locks(&self) -> &[Lock] {
        &self.locks
    }

    /// The locks as separate guards.
    pub fn into_locks(self) -> Vec<Lock> {
        self.locks
    }

    /// Resolves with the reason when one of the locks can't be relied on any more: see [`Lock::lost`].
    /// [`Lock::is_lost`] tells which one.
    ///
    /// # Cancel safety
    /// May be dropped and called again at will.
    pub async fn lost(&self) -> Loss {
        let mut gone: Vec<_> = self.locks.iter().map(|lock| Box::pin(lock.held().gone())).collect();
        let one_is_gone = poll_fn(|cx| match gone.iter_mut().any(|gone| gone.as_mut().poll(cx).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            loss = self.session.lost() => loss,
            () = one_is_gone => Loss::TokenNotHeld,
        }
    }

    /// Whether one of the locks can't be relied on any more, by the clock at this moment.
    pub fn is_lost(&self) -> bool {
        self.locks.iter().any(Lock::is_lost)
    }

    /// Why one of the locks can't be relied on any more, if that is so.
    pub fn loss(&self) -> Option<Loss> {
        self.locks.iter().find_map(Lock::loss)
    }

    /// Runs `work` until it is done or one of the locks is lost, as [`Lock::run`] does for one lock.
    ///
    /// # Errors
    /// The loss. The caller, or cleanup, has to find out how far `work` has come.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        let guarded = &self.session.core().guarded;
        guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// Frees all the locks in one commit. Returns how many of them were still held.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the release is then repeated in the background, as if
    /// the set had been dropped.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn release(self) -> Result<u64, Error> {
        self.session.release_all(self.locks).await
    }
}

impl fmt::Debug for LockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockSet").field("locks", &self.locks).finish_non_exhaustive()
    }
}
