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
/// Let what it protects run by [`run`](Lock::run), which ends it with the lock; or keep an eye on the lock while you work:
/// [`lost`](Lock::lost) resolves, and [`is_lost`](Lock::is_lost) turns true, before others can get the lock. Let the database have the last word where it can:
/// [`assert_held_in`](Lock::assert_held_in) a transaction, or
/// [`ConditionalUpdate::fenced_by`](crate::ConditionalUpdate::fenced_by); and pass the [`token`](Lock::token)
/// to storage that can refuse smaller ones.
///
/// [`release`](Lock::release) it to be told that it is free. A guard that is dropped is released in the
/// background, which is repeated until the server has answered or the session is lost; the next in this
/// process' line gets its turn after that.
#[must_use = "a lock that is dropped is released"]
pub struct Lock {
    held: Arc<Held>,
    /// Given away with the release.
    place: Option<Place>,
    released: bool,
    /// It goes with the final state of the row, or not at all: dropped, it stays.
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

    /// The lock of claimed work, which ends in other ways than a release.
    pub(crate) fn of_claim(session: Session, granted: Granted) -> Lock {
        let mut lock = Lock::new(session, Uuid::nil(), granted, None);
        lock.released = true;
        lock
    }

    /// The row of the work that was started with it.
    pub(crate) fn take_row(&mut self) -> Option<UpdatedRow> {
        self.row.take()
    }

    /// From now on it is released when it is dropped.
    pub(crate) fn without_work(mut self) -> Lock {
        self.working = false;
        self
    }

    /// The server has answered that the work is finished: the next in this process' line gets its turn.
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

    /// Which lock of the resource it is; empty unless named.
    pub fn lock_name(&self) -> &str {
        &self.held.key.lock_name
    }

    /// The id of the request that won the lock; the nil one if the lock is that of claimed work.
    pub fn request_id(&self) -> Uuid {
        self.held.request_id
    }

    /// Resolves when the lock can't be relied on any more, and says why: its session is lost, or the server has
    /// said that the token is not held. At once, if that is so already.
    ///
    /// # Cancel safety
    /// May be dropped and called again at will.
    pub async fn lost(&self) -> Loss {
        tokio::select! {
            loss = self.held.session.lost() => loss,
            () = self.held.gone() => Loss::TokenNotHeld,
        }
    }

    /// Whether the lock can't be relied on any more, by this very moment's clock.
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// Why the lock can't be relied on any more, if it can't.
    pub fn loss(&self) -> Option<Loss> {
        self.held.loss()
    }

    /// Cancelled when the lock is lost, by a thread that looks after this whatever the runtime does, and before it is released or
    /// dropped; to hand to tasks, threads and libraries that know such tokens.
    ///
    /// Nobody waits for what looks at this token: end it before you release the lock, stop the session
    /// or register anew.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.held.over().child_token()
    }

    /// Runs `work` until it is done, or until the lock is lost: then it is dropped, and the loss is returned.
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
    /// No step of `work` (what it does between two awaits) begins when the lock is lost, whatever the runtime's timers do: the clock
    /// is asked before each. A result is returned only if the lock was not lost by then. Neither
    /// [`Session::stop`] nor a new incarnation ([`Incarnations`](crate::Incarnations)) gives the lock away before `work` has been dropped.
    ///
    /// Only `work` itself is ended: not the tasks and threads that it has started, nor what it has sent to others. Give those
    /// the [`cancellation_token`](Self::cancellation_token) or the fencing [`token`](Self::token). And a step that blocks ends when
    /// it ends.
    ///
    /// # Errors
    /// The loss. How far `work` had come is for the caller, or for cleanup, to find out.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        let guarded = &self.held.core().guarded;
        guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// Says what is being done under the lock, or with `None` that nothing is that would need cleanup.
    ///
    /// # Errors
    /// [`Error::TokenNotHeld`], after which the lock is lost; [`Error::SessionLost`] without asking the server;
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`].
    ///
    /// # Cancel safety
    /// When the future is dropped the status may have been set or not; setting it again is safe.
    pub async fn set_status(&self, status: Option<&str>) -> Result<(), Error> {
        let params: Params<'_> = &[&self.held.token, &status];
        self.held.ask(&statements::SET_STATUS, params).await
    }

    /// Asks the server whether the token is held at this moment. It says nothing about the next: inside a
    /// transaction [`assert_held_in`](Self::assert_held_in) does.
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
        // The answer may be old.
        self.held.check()
    }

    /// Fences a transaction: it fails unless the token is held, and the token stays held until the transaction
    /// ends, because neither release nor cleanup gets past it.
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

    /// Frees the lock. `false` says that it was not held any more.
    ///
    /// # Errors
    /// [`Error::Pool`], [`Error::Database`], [`Error::NoReply`]: the release is then repeated in the
    /// background, as if the guard had been dropped.
    ///
    /// # Cancel safety
    /// Goes on in the background when the future is dropped.
    pub async fn release(self) -> Result<bool, Error> {
        self.call_off();
        finish(async move {
            // Until the answer is there the guard is armed: whatever goes wrong, dropping it repeats the
            // release.
            let released = self.held.core().release(self.held.token).await?;
            self.disarm();
            Ok(released)
        })
        .await
    }

    /// Tells whoever has a cancellation token that the lock is about to be given back.
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
            // No await here, and perhaps no runtime: the session's reaper does it.
            let place = self.place.take();
            self.held.session.reaper().release(self.held.token, place);
        }
    }
}
