//! A request on its way, and its settlement if its outcome is never learnt.

use crate::backoff::pauses;
use crate::lock::Guard;
use crate::queue::{ALONE, Places};
use crate::reaper::OnDrop;
use crate::{Connection, Error, Held, Session, key::Name, sql, state::Core};
use std::{mem, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// How much later than its end the statement of a broken connection may still be under way on the server.
const GRACE: Duration = Duration::from_secs(10);

/// A request at the head of its queues in this process. Dropped while its outcome is unknown, it is settled in the
/// background: what it takes is given back, however late.
pub(crate) struct Flight {
    pub(crate) core: Arc<Core>,
    pub(crate) id: Uuid,
    /// Of the guard. Work that is to be left is not settled either: it stays for cleanup, or for a request with the
    /// same id.
    on_drop: OnDrop,
    places: Places,
    /// Set if a statement of this request may have taken locks: when it will certainly be over on the server.
    doubt: Option<Instant>,
    /// The statement under way, and when it is over.
    running: Option<(Connection, Instant)>,
}

impl Flight {
    pub(crate) fn new(core: &Arc<Core>, id: Uuid, on_drop: OnDrop, places: Places) -> Flight {
        Flight { core: Arc::clone(core), id, on_drop, places, doubt: None, running: None }
    }

    /// A connection for one statement, which waits in the database for so long at most.
    pub(crate) async fn begin(&mut self, wait: Duration) -> Result<&Connection, Error> {
        let connection = self.core.volguard.connection().await?;
        let over = Instant::now() + wait + self.core.volguard.server.time_limit + GRACE;
        Ok(&self.running.insert((connection, over)).0)
    }

    /// Takes note of the statement's answer, and returns it.
    pub(crate) fn end<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        // Without a reply it is still running. Otherwise the connection goes back to the pool, unless it has broken:
        // then the backend may not notice that, and keep its place in the wait queue.
        if !matches!(answer, Err(Error::NoReply)) {
            let broken = matches!(&answer, Err(error) if error.leaves_doubt());
            if let Some((connection, over)) = self.running.take().filter(|_| broken) {
                self.doubt = self.doubt.max(Some(over));
                self.core.tasks.spawn(connection.take().give_up(GRACE));
            }
        }
        answer.inspect_err(|error| self.core.heed(error))
    }

    /// Whether the last statement broke with its connection, so that only its repetition tells what it has got.
    pub(crate) fn is_broken(&self) -> bool {
        self.doubt.is_some() && self.running.is_none()
    }

    /// The guard of what the request has got.
    pub(crate) fn land(mut self, session: Session, locks: Vec<(Arc<Name>, i64)>) -> Guard {
        let places = mem::take(&mut self.places);
        // An earlier statement of this request may still be under way, and take the locks again later: that is settled
        // when this is dropped, and waits for the guard.
        Guard { held: Held::new(session, self.id, locks), places, on_drop: self.on_drop }
    }

    /// Gives back in the background what the request takes. A later request or a guard with the same id goes first: it
    /// gets what this one has taken.
    fn settle(&mut self) {
        let (core, request_id, mut places) = (Arc::clone(&self.core), self.id, mem::take(&mut self.places));
        let (mut until, running) = (self.doubt.unwrap_or_else(Instant::now), self.running.take());
        let task = async move {
            places.request = None;
            if let Some((connection, over)) = running {
                let patience = over.saturating_duration_since(Instant::now());
                if !connection.take().give_up(patience).await {
                    until = until.max(over);
                }
            }
            // Kept until a release whose answer was lost can't be under way any more.
            let (mut settling, mut late) = (None, Instant::now());
            for pause in pauses() {
                if let Some(turn) = settling.take().or_else(|| core.requests.try_join(&request_id, ALONE)) {
                    let (over, sent) = (until <= Instant::now(), Instant::now());
                    match sql::release_requests(&core.volguard, core.service_id, &[request_id]).await {
                        Ok(released) => {
                            tracing::debug!(%request_id, released, "asked for what a lost answer may have left");
                            if over && late <= Instant::now() {
                                return;
                            }
                        }
                        Err(error) => {
                            core.heed(&error);
                            if error.leaves_doubt() {
                                late = sent + core.volguard.server.time_limit + GRACE;
                            }
                        }
                    }
                    // It would release what a later request with this id gets.
                    settling = (Instant::now() < late).then_some(turn);
                }
                // Others that want the keys need not wait for a server that can't be reached.
                drop(mem::take(&mut places));
                let _ = timeout(pause, core.lease.lost()).await;
                if core.lease.check().is_err() {
                    return;
                }
            }
        };
        self.core.tasks.spawn_on(task, &self.core.runtime);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if (self.doubt.is_some() || self.running.is_some()) && !matches!(self.on_drop, OnDrop::Leave) {
            self.settle();
        }
    }
}
