//! A request on its way: what is known of its outcome, and what has to be settled if that is never learnt.

use crate::reaper::{self, GRACE, OnDrop, Unsettled};
use crate::sql::{self, Documents};
use crate::{
    Connection, Error, Held, Key, Session, UpdatedRow, WorkOutcome, backoff::FOREVER, backoff::pauses, key::Name,
    lock::Guard, queue::Places, state::Core, telemetry,
};
use std::{mem, pin::pin, slice, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// One request to the server. It stays the same when it is sent again.
pub(crate) struct Request {
    pub(crate) id: Uuid,
    pub(crate) what: What,
}

pub(crate) enum What {
    Locks(Vec<Key>),
    /// Its lock must not be released without a final state of the row.
    Work(Key, Documents),
}

/// How long one statement waits at most: the server's default of `volguard.max_wait`. A longer wait asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What comes of a request: tokens in the order of the keys, and the row of the work, if it is work.
type Answer<T = (Vec<i64>, UpdatedRow)> = Result<WorkOutcome<T>, Error>;

impl Request {
    fn is_work(&self) -> bool {
        matches!(self.what, What::Work(..))
    }

    fn names(&self) -> Vec<Arc<Name>> {
        let keys = match &self.what {
            What::Locks(keys) => keys,
            What::Work(key, _) => slice::from_ref(key),
        };
        keys.iter().map(|key| Arc::clone(&key.name)).collect()
    }

    async fn send(&self, connection: &Connection, service_id: i64, wait: Duration) -> Answer {
        let id = Some(self.id);
        let tokens = match &self.what {
            What::Work(key, documents) => {
                let outcome = sql::start_work(connection, service_id, key, documents, wait, id).await?;
                return Ok(outcome.map(|(token, row)| (vec![token], row)));
            }
            What::Locks(keys) => match &keys[..] {
                [key] => sql::acquire(connection, service_id, key, wait, id).await?.map(|token| vec![token]),
                keys => sql::acquire_all(connection, service_id, keys, wait, id).await?,
            },
        };
        Ok(tokens.map_or(WorkOutcome::Locked, |tokens| WorkOutcome::Started((tokens, UpdatedRow::NONE))))
    }

    /// Asks for it, and returns what it gets.
    pub(crate) async fn ask(self, session: Session, wait: Duration) -> Answer<(Guard, UpdatedRow)> {
        let began = Instant::now();
        let deadline = began + wait.min(FOREVER);
        let (core, names) = (Arc::clone(session.core()), self.names());
        core.lease.check()?;
        let places = async {
            loop {
                let mut places = core.lines.join_all(&names).await;
                places.request = core.requests.try_begin(self.id);
                if places.request.is_some() {
                    return places;
                }
                // The keys are for others while the id is being settled, which may take long.
                drop(places);
                drop(core.requests.begin(self.id).await);
            }
        };
        let places = tokio::select! {
            biased;
            places = places => places,
            loss = core.lease.lost() => return Err(loss.into()),
            () = sleep_until(deadline) => return Ok(WorkOutcome::Locked),
        };
        let mut flight = Flight { core, request: self, places, doubt: None, running: None };
        let answer = flight.drive(deadline).await.inspect_err(|error| flight.core.heed(error));
        telemetry::waited(matches!(answer, Ok(WorkOutcome::Started(_))), began.elapsed());
        let outcome = answer?.map(|(tokens, row)| {
            tracing::debug!(?tokens, took = ?began.elapsed(), "granted");
            // An earlier statement of this request may still be under way, and take the locks again later.
            if let Some(until) = flight.doubt.take() {
                flight.settle(None, until);
            }
            let held = Held::new(session, flight.request.id, names.into_iter().zip(tokens).collect());
            let on_drop = if flight.request.is_work() { OnDrop::Leave } else { OnDrop::Release };
            (Guard { held, places: mem::take(&mut flight.places), on_drop }, row)
        });
        if let WorkOutcome::Started((guard, _)) = &outcome {
            // Locks that come too late are dropped, which releases them.
            guard.held.check()?;
        }
        Ok(outcome)
    }
}

/// A request at the head of its queues in this process. Dropped while its outcome is unknown, it is settled later.
struct Flight {
    core: Arc<Core>,
    request: Request,
    places: Places,
    /// Set if a statement of this request may have taken locks: when it will certainly be over on the server.
    doubt: Option<Instant>,
    /// The statement under way, and when it is over.
    running: Option<(Connection, Instant)>,
}

impl Flight {
    /// To wait in the database, a request needs a seat: a part of the pool is for others. Without one, it asks from
    /// time to time whether the locks are free: those that have the seats may wait for this request.
    async fn drive(&mut self, deadline: Instant) -> Answer {
        let waiters = Arc::clone(self.core.volguard.waiters());
        if let (Ok(seat), true) = (Arc::clone(&waiters).try_acquire_owned(), Instant::now() < deadline) {
            return self.ask(Some(seat), deadline).await;
        }
        let (mut turn, mut pauses) = (pin!(waiters.acquire_owned()), pauses());
        loop {
            let answer = self.ask(None, deadline).await?;
            if !matches!(answer, WorkOutcome::Locked) || deadline <= Instant::now() {
                return Ok(answer);
            }
            let again = deadline.min(Instant::now() + pauses.next().unwrap_or_default());
            tokio::select! {
                Ok(seat) = &mut turn => return self.ask(Some(seat), deadline).await,
                loss = self.core.lease.lost() => return Err(loss.into()),
                () = sleep_until(again) => {}
            }
        }
    }

    /// Asks the server, again if the connection breaks.
    async fn ask(&mut self, seat: Option<OwnedSemaphorePermit>, deadline: Instant) -> Answer {
        let (mut pauses, mut again) = (pauses(), false);
        loop {
            let left = if seat.is_some() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let error = match self.ask_once(left.min(LONGEST_WAIT)).await {
                Ok(WorkOutcome::Locked) if left > LONGEST_WAIT => continue,
                Err(error) if self.doubt.is_some() && error.is_retryable() && self.running.is_none() => error,
                answer => return answer,
            };
            self.core.lease.check()?;
            if again && Instant::now() >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "the request is repeated");
            if again {
                sleep_until(Instant::now() + pauses.next().unwrap_or_default()).await;
            }
            again = true;
        }
    }

    async fn ask_once(&mut self, wait: Duration) -> Answer {
        let connection = tokio::select! {
            connection = self.core.volguard.connection() => connection?,
            loss = self.core.lease.lost() => return Err(loss.into()),
        };
        let limit = wait + self.core.volguard.time_limit();
        let (connection, _) = self.running.insert((connection, Instant::now() + limit + GRACE));
        let verb = match &self.request.what {
            What::Work(..) => "start_work",
            What::Locks(keys) if keys.len() == 1 => "acquire",
            What::Locks(_) => "acquire_all",
        };
        let call = self.request.send(connection, self.core.service_id, wait);
        let answer = tokio::select! {
            biased;
            answer = connection.run_within(limit, verb, call) => answer,
            loss = self.core.lease.lost() => return Err(loss.into()),
        };
        // Without a reply it is still running. Otherwise the connection goes back to the pool, unless it has broken:
        // then the backend may not notice that, and keep its place in the wait queue.
        if !matches!(answer, Err(Error::NoReply)) {
            let broken = matches!(&answer, Err(error) if error.leaves_doubt());
            if let Some((connection, over)) = self.running.take().filter(|_| broken) {
                self.doubt = self.doubt.max(Some(over));
                let (server, wire) = (Arc::clone(self.core.volguard.server()), connection.take());
                self.core.tasks.spawn(async move { server.give_up(wire, GRACE).await });
            }
        }
        answer
    }

    fn settle(&mut self, places: Option<Places>, until: Instant) {
        // Work stays, for cleanup or for a request with the same id.
        if self.request.is_work() {
            return;
        }
        let running = self.running.take().map(|(connection, over)| (connection.take(), over));
        let request_id = self.request.id;
        reaper::settle(&self.core, Unsettled { request_id, places, until, running });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.doubt.is_some() || self.running.is_some() {
            let places = mem::take(&mut self.places);
            self.settle(Some(places), self.doubt.unwrap_or_else(Instant::now));
        }
    }
}
