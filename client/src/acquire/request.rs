//! Asking for locks or work.

use crate::{
    Connection, Error, Key, Session, UpdatedRow, WorkOutcome, backoff::FOREVER, backoff::pauses, flight::Flight,
    key::Name, lock::Guard, queue::Places, queue::SHARED, reaper::OnDrop, sql, sql::Documents, state::Core, telemetry,
};
use std::{pin::pin, slice, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};
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
    /// Asks for it, and returns what it gets.
    pub(crate) async fn ask(self, session: Session, wait: Duration) -> Answer<(Guard, UpdatedRow)> {
        let began = Instant::now();
        let core = Arc::clone(&session.core);
        core.lease.check()?;
        let outcome = core.lease.unless_lost(self.ask_by(began + wait.min(FOREVER), session)).await?;
        telemetry::waited(matches!(outcome, Ok(WorkOutcome::Started(_))), began.elapsed());
        let outcome = outcome?;
        // Locks that come too late are dropped, which releases them.
        core.lease.check()?;
        Ok(outcome)
    }

    async fn ask_by(self, deadline: Instant, session: Session) -> Answer<(Guard, UpdatedRow)> {
        let (core, names) = (Arc::clone(&session.core), self.names());
        let Ok(places) = timeout_at(deadline, self.queue(&core, &names)).await else {
            return Ok(WorkOutcome::Locked);
        };
        let on_drop = if let What::Work(..) = self.what { OnDrop::Leave } else { OnDrop::Release };
        let mut flight = Flight::new(&core, self.id, on_drop, places);
        let outcome = self.send_by(deadline, &mut flight).await?;
        Ok(outcome.map(|(tokens, row)| {
            tracing::debug!(service_id = core.service_id, request_id = %self.id, ?tokens, "granted");
            (flight.land(session, names.into_iter().zip(tokens).collect()), row)
        }))
    }

    fn names(&self) -> Vec<Arc<Name>> {
        let keys = match &self.what {
            What::Locks(keys) => keys,
            What::Work(key, _) => slice::from_ref(key),
        };
        keys.iter().map(|key| Arc::clone(&key.name)).collect()
    }

    /// Its turn in the queues of this process.
    async fn queue(&self, core: &Core, names: &[Arc<Name>]) -> Places {
        loop {
            let mut places = core.lines.join_all(names).await;
            places.request = core.requests.try_join(&self.id, SHARED);
            if places.request.is_some() {
                return places;
            }
            // The keys are for others while the id is being settled, which may take long.
            drop(places);
            drop(core.requests.join(&self.id, SHARED).await);
        }
    }

    /// To wait in the database, a request needs a seat: a part of the pool is for others. Without one, it asks from
    /// time to time whether the locks are free: those that have the seats may wait for this request.
    async fn send_by(&self, deadline: Instant, flight: &mut Flight) -> Answer {
        let waiters = Arc::clone(&flight.core.volguard.waiters);
        if let (Ok(seat), true) = (Arc::clone(&waiters).try_acquire_owned(), Instant::now() < deadline) {
            return self.send(Some(seat), deadline, flight).await;
        }
        let (mut turn, mut pauses) = (pin!(waiters.acquire_owned()), pauses());
        loop {
            let answer = self.send(None, deadline, flight).await?;
            if !matches!(answer, WorkOutcome::Locked) || deadline <= Instant::now() {
                return Ok(answer);
            }
            let again = deadline.min(Instant::now() + pauses.next().unwrap_or_default());
            if let Ok(Ok(seat)) = timeout_at(again, &mut turn).await {
                return self.send(Some(seat), deadline, flight).await;
            }
        }
    }

    /// Asks the server, again if the connection breaks: once at least.
    async fn send(&self, seat: Option<OwnedSemaphorePermit>, deadline: Instant, flight: &mut Flight) -> Answer {
        let mut pauses = std::iter::once(Duration::ZERO).chain(pauses());
        loop {
            let left = if seat.is_some() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let (wait, service_id) = (left.min(LONGEST_WAIT), flight.core.service_id);
            let answer = match flight.begin(wait).await {
                Ok(connection) => self.send_on(connection, service_id, wait).await,
                Err(error) => Err(error),
            };
            let error = match flight.end(answer) {
                Ok(WorkOutcome::Locked) if left > LONGEST_WAIT => continue,
                Err(error) if flight.is_broken() && error.is_retryable() => error,
                answer => return answer,
            };
            let pause = pauses.next().unwrap_or_default();
            if !pause.is_zero() && Instant::now() >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "the request is repeated");
            sleep(pause).await;
        }
    }

    async fn send_on(&self, connection: &Connection, service_id: i64, wait: Duration) -> Answer {
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
}
