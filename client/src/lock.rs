//! The guard of a lock.

mod held;

use std::fmt;
use std::sync::Arc;

use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::held::Held;
use crate::acquire::Granted;
use crate::error::Error;
use crate::queue::Place;
use crate::session::{Loss, Session, finish};
use crate::statements::{self, Params};
use crate::update::UpdatedRow;

/// A lock that this process holds, as far as it knows. Made by [`Session::acquire`].
///
/// Run the work that it protects by [`run`](Lock::run), which ends the work with the lock. Or check the lock while you
/// work: [`lost`](Lock::lost) resolves, and [`is_lost`](Lock::is_lost) turns true, before another service can get the
/// lock. Where possible, let the database check: [`assert_held_in`](Lock::assert_held_in) a transaction, or
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by). Pass the [`token`](Lock::token) to storage
/// that can refuse smaller ones.
///
/// [`release`](Lock::release) returns when the lock is free. A guard that is dropped is released in the background. The
/// release is repeated until the server has answered or the session is lost. After that, the next task in the queue of
/// this process gets its turn.
#[must_use = "a lock that is dropped is released"]
pub struct Lock {
    held: Arc<Held>,
    /// The place in the queue of this process, given up with the release.
    place: Option<Place>,
    released: bool,
    /// The lock of unfinished work: only a final state of the row ends it. When the guard is dropped, the lock stays.
    working: bool,
    row: Option<UpdatedRow>,
}

impl Lock {
    pub(crate) fn new(session: Session, request_id: Uuid, mut granted: Granted, place: Option<Place>) -> Lock {
        session.core().known().insert(granted.token);
        let row = granted.row.take();
        Lock {
            working: row.is_some(),
            row,
            held: Arc::new(Held::new(session, request_id, granted)),
            place,
            released: false,
        }
    }

    /// The lock of claimed work, which no release ends.
    pub(crate) fn of_claim(session: Session, granted: Granted) -> Lock {
        let mut lock = Lock::new(session, Uuid::nil(), granted, None);
        lock.released = true;
        lock
    }

    /// The row of the work that was started with it.
    pub(crate) fn take_row(&mut self) -> Option<UpdatedRow> {
        self.row.take()
    }

    /// Returns a lock that is released when it is dropped.
    pub(crate) fn without_work(mut self) -> Lock {
        self.working = false;
        self
    }

    /// Records that the work is finished: the next task in the queue of this process gets its turn.
    pub(crate) fn end(&mut self) {
        self.released = true;
        self.place = None;
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The fencing token: larger than every earlier one of this lock.
    pub fn token(&self) -> i64 {
        self.held.token
    }

    /// What kind of resource is locked.
    pub fn resource_type(&self) -> &str {
        &self.held.key.resource_type
    }

    /// Which resource is locked.
    pub fn resource_id(&self) -> &str {
        &self.held.key.resource_id
    }

    /// The name of the lock; empty by default.
    pub fn lock_name(&self) -> &str {
        &self.held.key.lock_name
    }

    /// The id of the request that got the lock; the nil id for claimed work.
    pub fn request_id(&self) -> Uuid {
        self.held.request_id
    }

    /// Resolves with the reason when the lock can't be relied on any more: its session is lost, or the server has said
    /// that the token is not held. At once, if that is already so.
    ///
    /// # Cancel safety
    /// May be dropped and called again at will.
    pub async fn lost(&self) -> Loss {
        tokio::select! {
            loss = self.held.session.lost() => loss,
            () = self.held.gone() => Loss::TokenNotHeld,
        }
    }

    /// Whether the lock can't be relied on any more, by the clock at this moment.
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// Why the lock can't be relied on any more, if it can't.
    pub fn loss(&self) -> Option<Loss> {
        self.held.loss()
    }

    /// Cancelled when the lock is lost, by a thread that doesn't depend on the runtime, and before the lock is released
    /// or dropped. For tasks, threads and libraries that take such a token.
    ///
    /// A release doesn't wait for the tasks that have this token: end them before you release the lock, stop the
    /// session or register again.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.held.over().child_token()
    }

    /// Runs `work` until it is done or the lock is lost. On a loss, `work` is dropped and the loss returned.
    ///
    /// ```no_run
    /// # async fn copy(from: &str, to: &str) -> std::io::Result<()> { Ok(()) }
    /// # async fn run(lock: volguard::Lock) -> Result<(), Box<dyn std::error::Error>> {
    /// match lock.run(copy("v-17", "v-18")).await {
    ///     Ok(copied) => copied?,
    ///     Err(loss) => println!("given up half way: {loss}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The clock is checked before each step of `work` (what it does between two awaits): no step begins after the lock
    /// is lost, even if the runtime's timers are late. A result is returned only if the lock was not lost by then.
    /// Neither [`Session::stop`] nor a new incarnation ([`Incarnations`](crate::Incarnations)) frees the lock before
    /// `work` has been dropped.
    ///
    /// Only `work` itself is ended, not the tasks and threads that it has started, nor the requests that it has sent.
    /// Give those the [`cancellation_token`](Self::cancellation_token) or the fencing [`token`](Self::token). A step
    /// that blocks runs to its end.
    ///
    /// # Errors
    /// The loss. The caller, or cleanup, has to find out how far `work` has come.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        let guarded = &self.held.core().guarded;
        guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// Sets the status: what is being done under the lock. `None` means that nothing needs cleanup.
    ///
    /// # Errors
    /// [`Error::TokenNotHeld`], after which the lock is lost; [`Error::SessionLost`] without asking the server;
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the status may have been set or not; setting it again is safe.
    pub async fn set_status(&self, status: Option<&str>) -> Result<(), Error> {
        let params: Params<'_> = &[&self.held.token, &status];
        self.held.ask(&statements::SET_STATUS, params).await
    }

    /// Asks the server whether the token is held at this moment. The next moment it may not be; inside a transaction,
    /// [`assert_held_in`](Self::assert_held_in) holds until the transaction ends.
    ///
    /// # Errors
    /// [`Error::TokenNotHeld`], after which the lock is lost; [`Error::SessionLost`] without asking the server;
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn assert_held(&self) -> Result<(), Error> {
        let params: Params<'_> = &[&self.held.token];
        self.held.ask(&statements::ASSERT_HELD, params).await?;
        // The answer may be old: the session may be lost by now.
        self.held.check()
    }

    /// Fences a transaction: it fails unless the token is held. The token then stays held until the transaction ends,
    /// because neither release nor cleanup gets past it.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard, lock: volguard::Lock) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut client = volguard.pool().get().await?;
    /// let transaction = client.transaction().await?;
    /// lock.assert_held_in(&transaction).await?;
    /// transaction.execute("UPDATE volumes SET size = size + 1 WHERE id = 17", &[]).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::TokenNotHeld`], after which the lock is lost, and [`Error::Database`]: the transaction is
    /// aborted. [`Error::SessionLost`] without asking the server.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn assert_held_in(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        self.held.check()?;
        let answer = statements::ASSERT_HELD.row_in(transaction, &[&self.held.token]).await;
        answer.map(drop).map_err(|error| self.held.note(error.into()))
    }

    /// Frees the lock. Returns `false` if it was not held any more.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the release is then repeated in the
    /// background, as if the guard had been dropped.
    ///
    /// # Cancel safety
    /// Continues in the background when the future is dropped.
    pub async fn release(self) -> Result<bool, Error> {
        self.call_off();
        finish(async move {
            // The guard stays armed until the answer is there: after an error, dropping it repeats the release.
            let released = self.held.core().release(self.held.token).await?;
            self.disarm();
            Ok(released)
        })
        .await
    }

    /// Cancels the tokens: the lock is about to be released.
    pub(crate) fn call_off(&self) {
        self.held.over().cancel();
    }

    /// The server has answered the release.
    pub(crate) fn disarm(mut self) {
        self.released = true;
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("token", &self.token())
            .field("key", &self.held.key)
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.call_off();
        if self.working && !self.released {
            self.held.leave();
        } else if !self.released {
            // `drop` can't await, and there may be no runtime: the session's reaper releases the lock.
            let place = self.place.take();
            self.held.session.reaper().release(self.held.token, place);
        }
    }
}
