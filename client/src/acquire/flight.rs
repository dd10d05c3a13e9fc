//! A request on its way: what is known of its outcome, and what has to be settled if that is never learnt.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::request::{Granted, Refused, Request};
use crate::backoff::pauses;
use crate::error::Error;
use crate::handle::Connection;
use crate::key::Name;
use crate::lock::Guard;
use crate::queue::Places;
use crate::reaper::{self, GRACE, OnDrop, Unsettled};
use crate::row::UpdatedRow;
use crate::session::Session;
use crate::state::Core;
use crate::telemetry;

/// Used for a longer wait, which the clock may not be able to count.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Sends the request, and returns what it gets.
pub(crate) async fn ask(
    session: Session,
    request: Request,
    wait: Duration,
    on_drop: OnDrop,
) -> Result<Result<(Guard, UpdatedRow), Refused>, Error> {
    let began = Instant::now();
    let deadline = began + wait.min(FOREVER);
    let core = Arc::clone(session.core());
    let names = request.names();
    core.lease.check()?;
    let places = tokio::select! {
        biased;
        places = places(&core, &names, request.id) => places,
        loss = core.lease.lost() => return Err(loss.into()),
        () = sleep_until(deadline) => return Ok(Err(Refused::NotFree)),
    };
    let mut flight = Flight { core, request, places, doubt: None, running: None };
    let answer = flight.drive(deadline).await;
    if let Err(error) = &answer {
        flight.core.heed(error);
    }
    telemetry::waited(matches!(answer, Ok(Ok(_))), began.elapsed());
    match answer? {
        Err(refused) => Ok(Err(refused)),
        Ok((tokens, row)) => {
            tracing::debug!(?tokens, took = ?began.elapsed(), "granted");
            let places = flight.arrive();
            let locks = names.into_iter().zip(tokens).collect();
            let guard = Guard::new(session, flight.request.id, locks, places, on_drop);
            // Locks that come too late are dropped, which releases them.
            guard.held.check()?;
            Ok(Ok((guard, row)))
        }
    }
}

async fn places(core: &Core, names: &[Arc<Name>], request_id: Uuid) -> Places {
    loop {
        let mut places = core.lines.join_all(names).await;
        places.request = core.requests.try_begin(request_id);
        if places.request.is_some() {
            return places;
        }
        // The keys are for others while the id is being settled, which may take long.
        drop(places);
        drop(core.requests.begin(request_id).await);
    }
}

/// A request at the head of its queues in this process. If it is dropped while its outcome is unknown, the session
/// settles that in the background.
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
    /// A request that waits in the database needs a seat: a part of the pool is kept for others. Without one, the server
    /// is asked from time to time whether the locks are free: those that have the seats may wait for this one.
    async fn drive(&mut self, deadline: Instant) -> Result<Result<Granted, Refused>, Error> {
        let waiters = Arc::clone(self.core.volguard.waiters());
        if let (Ok(seat), true) = (Arc::clone(&waiters).try_acquire_owned(), Instant::now() < deadline) {
            return self.ask(Some(seat), deadline).await;
        }
        let mut turn = pin!(waiters.acquire_owned());
        let mut pauses = pauses();
        loop {
            let answer = self.ask(None, deadline).await?;
            if !matches!(answer, Err(Refused::NotFree)) || deadline <= Instant::now() {
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
    async fn ask(
        &mut self,
        seat: Option<OwnedSemaphorePermit>,
        deadline: Instant,
    ) -> Result<Result<Granted, Refused>, Error> {
        let mut pauses = pauses();
        let mut again = false;
        loop {
            let left = if seat.is_some() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let error = match self.ask_once(left).await {
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

    async fn ask_once(&mut self, wait: Duration) -> Result<Result<Granted, Refused>, Error> {
        let connection = tokio::select! {
            connection = self.core.volguard.connection() => connection?,
            loss = self.core.lease.lost() => return Err(loss.into()),
        };
        let limit = wait + self.core.volguard.time_limit();
        let (connection, _) = self.running.insert((connection, Instant::now() + limit + GRACE));
        let call = self.request.send(connection, self.core.service_id, wait);
        let answer = tokio::select! {
            biased;
            answer = connection.run_within(limit, self.request.verb(), call) => answer,
            loss = self.core.lease.lost() => return Err(loss.into()),
        };
        // Without a reply it is still running.
        if !matches!(answer, Err(Error::NoReply)) {
            self.end_of_statement(matches!(&answer, Err(error) if error.leaves_doubt()));
        }
        answer
    }

    /// The connection goes back to the pool, unless it has broken: then the backend may not notice that, and keep its
    /// place in the wait queue.
    fn end_of_statement(&mut self, broken: bool) {
        let Some((connection, over)) = self.running.take() else { return };
        if broken {
            self.doubt = self.doubt.max(Some(over));
            let (server, wire) = (Arc::clone(self.core.volguard.server()), connection.take());
            self.core.tasks.spawn(async move { server.give_up(wire, GRACE).await });
        }
    }

    /// The locks are granted. An earlier statement of this request may still be under way, and take them again after
    /// their release.
    fn arrive(&mut self) -> Places {
        if let Some(until) = self.doubt.take() {
            self.settle(None, until);
        }
        std::mem::take(&mut self.places)
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
            let places = std::mem::take(&mut self.places);
            self.settle(Some(places), self.doubt.unwrap_or_else(Instant::now));
        }
    }
}
