//! The state of a held lock, for its guard and for fences that outlive the guard's borrow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::acquire::Granted;
use crate::error::Error;
use crate::queue::Key;
use crate::session::{Core, Loss, REPLY_LIMIT, Session};
use crate::statements::{Params, Statement};

#[derive(Debug)]
pub(crate) struct Held {
    pub(super) session: Session,
    pub(super) key: Arc<Key>,
    pub(super) token: i64,
    pub(super) request_id: Uuid,
    /// The end of the work is under way or done.
    finishing: AtomicBool,
    /// The server has said that the token is not held.
    gone: watch::Sender<bool>,
    /// Cancelled with the session, when the lock is gone, and when it is given back.
    over: CancellationToken,
}

impl Held {
    pub(super) fn new(session: Session, request_id: Uuid, granted: Granted) -> Held {
        let over = session.core().lease.over().child_token();
        Held {
            session,
            key: granted.key,
            token: granted.token,
            request_id,
            finishing: AtomicBool::new(false),
            gone: watch::Sender::new(false),
            over,
        }
    }

    pub(crate) fn core(&self) -> &Core {
        self.session.core()
    }

    pub(crate) fn token(&self) -> i64 {
        self.token
    }

    /// Notes whether the end of the work is under way or done.
    pub(crate) fn set_finishing(&self, finishing: bool) {
        self.finishing.store(finishing, Ordering::Release);
    }

    /// The guard of unfinished work was dropped. The token stays known to the session, so that no reconcile releases
    /// it.
    pub(super) fn leave(&self) {
        if self.finishing.load(Ordering::Acquire) {
            return;
        }
        tracing::warn!(
            service_id = self.core().service_id,
            token = self.token,
            request_id = %self.request_id,
            resource_type = %self.key.resource_type,
            resource_id = %self.key.resource_id,
            "unfinished work was dropped: it stays locked until the session ends, and is left to cleanup then"
        );
    }

    /// Fails if the session is lost.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.core().lease.check().map_err(Error::SessionLost)
    }

    /// Why the lock is lost, if it is, by the clock at this moment.
    pub(crate) fn loss(&self) -> Option<Loss> {
        let gone = || self.gone.borrow().then_some(Loss::TokenNotHeld);
        self.session.loss().or_else(gone)
    }

    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Resolves when the server has said that the token is not held.
    pub(crate) async fn gone(&self) {
        // The sender lives as long as this value.
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// The server has said that the token is not held.
    pub(crate) fn note_gone(&self) {
        self.gone.send_replace(true);
        self.over.cancel();
    }

    pub(crate) fn note(&self, error: Error) -> Error {
        if matches!(error, Error::TokenNotHeld(_)) {
            self.note_gone();
        }
        self.core().heed(&error);
        error
    }

    pub(super) async fn ask(&self, statement: &Statement<'_>, params: Params<'_>) -> Result<(), Error> {
        self.check()?;
        let answer = self.core().volguard.row_within(REPLY_LIMIT, statement, params).await;
        answer.map(drop).map_err(|error| self.note(error))
    }
}
