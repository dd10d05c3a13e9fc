//! What a guard holds, for the guard and for what outlives the guard's borrow.

use crate::{Error, Loss, Session, key::Name, sql, state::Core};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, sync::Arc};
use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a [`Lock`](crate::Lock), a [`Work`](crate::Work) or a [`Claimed`](crate::Claimed) holds: one lock, or several
/// that were taken together. If one of several is lost, all are. Clones share it, and release nothing.
#[derive(Clone)]
pub struct Held {
    state: Arc<State>,
}

struct State {
    session: Session,
    locks: Vec<(Arc<Name>, i64)>,
    request_id: Uuid,
    /// The server has said that a token is not held.
    gone: AtomicBool,
    /// Cancelled with the session, when the lock is gone, and when it is given back.
    over: CancellationToken,
}

impl Held {
    pub(crate) fn new(session: Session, request_id: Uuid, locks: Vec<(Arc<Name>, i64)>) -> Held {
        let over = session.core.lease.over.child_token();
        Held { state: Arc::new(State { session, locks, request_id, gone: AtomicBool::new(false), over }) }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.state.session.core
    }

    pub(crate) fn over(&self) -> &CancellationToken {
        &self.state.over
    }

    pub(crate) fn name(&self) -> &Arc<Name> {
        &self.state.locks[0].0
    }

    /// The fencing token: larger than every earlier one, and smaller than 2^53, which JSON keeps exactly in every
    /// language. Of several locks, that of the first.
    pub fn token(&self) -> i64 {
        self.state.locks[0].1
    }

    /// The tokens of all the locks, in the order of the request.
    pub fn tokens(&self) -> Vec<i64> {
        self.state.locks.iter().map(|(_, token)| *token).collect()
    }

    /// What kind of resource is locked; of several locks, by the first.
    pub fn resource_type(&self) -> &str {
        &self.name().resource_type
    }

    /// Which resource is locked; of several locks, by the first.
    pub fn resource_id(&self) -> &str {
        &self.name().resource_id
    }

    /// The name of the lock, empty by default; of several locks, of the first.
    pub fn lock_name(&self) -> &str {
        &self.name().lock_name
    }

    /// The id of the request that got the lock.
    pub fn request_id(&self) -> Uuid {
        self.state.request_id
    }

    /// Resolves with the reason when the lock can't be relied on any more; at once, if that is already so.
    pub async fn lost(&self) -> Loss {
        self.over().cancelled().await;
        self.loss().unwrap_or(Loss::Released)
    }

    /// Why the lock can't be relied on any more, by the clock at this moment; `None` as long as it can.
    pub fn loss(&self) -> Option<Loss> {
        let gone = || self.state.gone.load(Ordering::SeqCst).then_some(Loss::TokenNotHeld);
        let released = || self.over().is_cancelled().then_some(Loss::Released);
        self.state.session.loss().or_else(gone).or_else(released)
    }

    /// Cancelled when the lock is lost, by a thread of its own, and before the lock is released or dropped: for tasks,
    /// threads and libraries. A release doesn't wait for those: end them before you release, stop or register again.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.over().child_token()
    }

    /// Runs `work` until it is done or the lock is lost. On a loss, `work` is dropped and the loss returned: the
    /// caller, or cleanup, has to find out how far it has come. Dropping the future drops `work`.
    ///
    /// The clock is checked before each step of `work` (what it does between two awaits): no step begins after the lock
    /// is lost, even if the runtime's timers are late. A result is returned only if the lock was not lost by then.
    /// Neither [`Session::stop`] nor [`Incarnations`](crate::Incarnations) free the lock before `work` is dropped.
    ///
    /// Release the lock after `run` and not within it: under a clone, `work` ends with the guard at its next step, for
    /// which the release does not wait. A blocking step runs on, and so do tasks, threads and requests that `work` has
    /// started: give those the [token](Self::cancellation_token).
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Loss> {
        self.core().guarded.run(|| self.loss(), self.lost(), work).await
    }

    /// Asks the server whether the token is held, or all of them. The next moment it may not be any more.
    /// *Errors:* [`Error::TokenNotHeld`], after which the lock is lost.
    pub async fn assert_held(&self) -> Result<(), Error> {
        for token in self.tokens() {
            self.check()?;
            sql::assert_held(&self.core().volguard, token).await.map_err(|error| self.note(error))?;
        }
        // The answer may be old: the session may be lost by now.
        self.check()
    }

    /// Fences a transaction: it fails unless the token is held, or all of them. They then stay held until the
    /// transaction ends, because neither release nor cleanup gets past it.
    /// *Errors:* [`Error::TokenNotHeld`], after which the lock is lost. Any error aborts the transaction.
    pub async fn assert_held_in(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        for token in self.tokens() {
            self.check()?;
            sql::assert_held(transaction, token).await.map_err(|error| self.note(error))?;
        }
        Ok(())
    }

    pub(crate) async fn set_status(&self, status: Option<&str>) -> Result<(), Error> {
        self.check()?;
        let answer = sql::set_status(&self.core().volguard, self.token(), status).await;
        answer.map_err(|error| self.note(error))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        Ok(self.core().lease.check()?)
    }

    pub(crate) fn note_gone(&self) {
        self.state.gone.store(true, Ordering::SeqCst);
        self.over().cancel();
    }

    pub(crate) fn note(&self, error: Error) -> Error {
        if matches!(error, Error::TokenNotHeld(_)) {
            self.note_gone();
        }
        self.core().heed(&error);
        error
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("locks", &self.state.locks)
            .field("lost", &self.loss().is_some())
            .finish_non_exhaustive()
    }
}
