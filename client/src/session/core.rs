//! What all parts of a session share: its identity, its lease, its wait queues, and the tokens that it knows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify, RwLock};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::guarded::Guarded;
use super::lease::{Lease, Loss};
use crate::error::Error;
use crate::handle::Volguard;
use crate::queue::Lines;
use crate::reaper::Unsettled;
use crate::statements::{self, Statement};

/// How long the server may take to answer a statement that waits for row locks at most.
pub(crate) const REPLY_LIMIT: Duration = Duration::from_secs(30);

const RETRY_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) volguard: Volguard,
    pub(crate) service_id: i64,
    pub(crate) lease: Arc<Lease>,
    pub(crate) lines: Arc<Lines>,
    /// Held for reading by acquires under way, whose tokens aren't known yet; for writing by `reconcile`.
    pub(crate) gate: Arc<RwLock<()>>,
    pub(crate) guarded: Guarded,
    /// Held while work is claimed, because its tokens aren't known yet, and during the search for lost claims.
    pub(crate) claiming: AsyncMutex<()>,
    /// Wakes the heartbeat before its time.
    pub(crate) beat_now: Notify,
    known: Mutex<HashSet<i64>>,
    unsettled: Mutex<HashMap<Uuid, Unsettled>>,
    /// Until when a claim whose answer was lost may be under way on the server.
    doubted_claims: Mutex<Option<Instant>>,
}

impl Core {
    pub(super) fn new(volguard: Volguard, service_id: i64, lease: Arc<Lease>) -> Core {
        Core {
            volguard,
            service_id,
            lease,
            lines: Arc::default(),
            gate: Arc::default(),
            guarded: Guarded::default(),
            beat_now: Notify::new(),
            claiming: AsyncMutex::default(),
            known: Mutex::default(),
            unsettled: Mutex::default(),
            doubted_claims: Mutex::default(),
        }
    }

    /// Tokens that this session holds or still has to release.
    pub(crate) fn known(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires whose answer was lost: they may have left a lock.
    pub(crate) fn unsettled(&self) -> MutexGuard<'_, HashMap<Uuid, Unsettled>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the server may have granted a claim whose answer was lost.
    pub(crate) fn doubt_claims(&self, until: Instant) {
        let mut doubt = self.doubted_claims();
        *doubt = (*doubt).max(Some(until));
    }

    pub(crate) fn doubted_claims(&self) -> MutexGuard<'_, Option<Instant>> {
        self.doubted_claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server may hold a lock or a claim for this session that the session doesn't know of.
    pub(crate) fn in_doubt(&self) -> bool {
        !self.unsettled().is_empty() || self.doubted_claims().is_some()
    }

    /// Clears all doubts: the server frees everything with the service.
    pub(crate) fn forget_doubts(&self) {
        self.unsettled().clear();
        *self.doubted_claims() = None;
    }

    /// Notes what an error says about the service as a whole.
    pub(crate) fn heed(&self, error: &Error) {
        match error {
            Error::ServiceFenced(_) => self.lease.lose(Loss::Fenced),
            // The server counts the lease as expired, this clock does not yet. A heartbeat may still be in time.
            Error::LeaseExpired(_) => self.beat_now.notify_one(),
            _ => {}
        }
    }

    pub(crate) async fn release(&self, token: i64) -> Result<bool, Error> {
        let row = self.volguard.row_within(REPLY_LIMIT, &statements::RELEASE, &[&token]).await?;
        self.forget(&[token]);
        Ok(row.try_get(0)?)
    }

    pub(crate) async fn release_all(&self, tokens: &[i64]) -> Result<u64, Error> {
        let released = self.release_by(&statements::RELEASE_ALL, tokens).await?;
        self.forget(tokens);
        Ok(released)
    }

    pub(crate) async fn finish_cleanup(&self, token: i64) -> Result<bool, Error> {
        let row = self.volguard.row_within(REPLY_LIMIT, &statements::FINISH_CLEANUP, &[&token]).await?;
        self.forget(&[token]);
        Ok(row.try_get(0)?)
    }

    pub(crate) async fn abandon_cleanup(&self, token: i64) -> Result<bool, Error> {
        Ok(self.abandon_all(&[token]).await? == 1)
    }

    pub(crate) async fn abandon_all(&self, tokens: &[i64]) -> Result<u64, Error> {
        let abandoned = self.release_by(&statements::ABANDON_CLEANUP, tokens).await?;
        self.forget(tokens);
        Ok(abandoned)
    }

    async fn release_by(&self, statement: &Statement<'_>, tokens: &[i64]) -> Result<u64, Error> {
        let row = self.volguard.row_within(REPLY_LIMIT, statement, &[&tokens]).await?;
        count(&row)
    }

    /// The server has answered for these tokens, whether or not they were held.
    fn forget(&self, tokens: &[i64]) {
        let mut known = self.known();
        tokens.iter().for_each(|token| {
            known.remove(token);
        });
    }

    pub(super) async fn reconcile(&self) -> Result<u64, Error> {
        // Held until the server has answered: a reconcile that is still under way must not meet a token that was
        // acquired after it was sent.
        let _gate = tokio::select! {
            gate = self.gate.write() => gate,
            loss = self.lease.lost() => return Err(Error::SessionLost(loss)),
        };
        let tokens: Vec<i64> = self.known().iter().copied().collect();
        loop {
            self.lease.check().map_err(Error::SessionLost)?;
            let answer =
                self.volguard.row_within(REPLY_LIMIT, &statements::RECONCILE, &[&self.service_id, &tokens]).await;
            match answer {
                Ok(row) => return count(&row),
                Err(error) if error.is_retryable() => {
                    tracing::debug!(service_id = self.service_id, %error, "reconcile is repeated");
                    sleep(RETRY_AFTER).await;
                }
                Err(error) => {
                    self.heed(&error);
                    return Err(error);
                }
            }
        }
    }

    pub(super) async fn deregister(&self, deadline: Instant) -> Result<u64, Error> {
        let params: statements::Params<'_> = &[&self.service_id];
        loop {
            let attempt = self.volguard.row_within(REPLY_LIMIT, &statements::DEREGISTER_SERVICE, params);
            match timeout_at(deadline, attempt).await {
                Ok(Ok(row)) => return count(&row),
                Ok(Err(error)) if error.is_retryable() && Instant::now() < deadline => {
                    sleep(RETRY_AFTER).await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(Error::NoReply),
            }
        }
    }
}

fn count(row: &tokio_postgres::Row) -> Result<u64, Error> {
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}
