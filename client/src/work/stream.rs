//! Taking work that waits for a service of the session's cluster.

use super::Work;
use crate::backoff::pauses;
use crate::{Error, Loss, Session, flight::Flight, key::Name, queue::Places, reaper::OnDrop, sql};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{fmt, mem, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long one call waits in the database: as long as the server lets it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

type Next = Result<Option<Work>, Error>;

/// The work that waits for a service of the session's cluster. Made by [`Session::work`].
///
/// It is a [`Stream`], which ends after the session was [stopped](Session::stop). Passing errors are logged, and the
/// question repeated. Work that the server has handed out all the same, in an answer that was lost, is put back into
/// the queue in the background.
///
/// An idle stream occupies one of the connections that may wait
/// ([`Builder::max_waiters`](crate::Builder::max_waiters)), with one call in 30 seconds. Without such a connection it
/// asks every few seconds.
#[must_use = "nothing is taken before `next`"]
pub struct WorkStream {
    taker: Arc<Taker>,
    /// Goes on when a future of [`next`](WorkStream::next) is dropped.
    taking: Option<Pin<Box<dyn Future<Output = Next> + Send>>>,
}

impl Session {
    /// The work that was [submitted](crate::Volguard::submit) to this session's cluster, and may be done on its host:
    /// of these operations, 16 at most; without one, of any. Each piece is taken by one service.
    /// [`Serve`](super::Serve) has a handler for each operation.
    ///
    /// ```no_run
    /// # async fn delete(work: &volguard::Work) -> std::io::Result<()> { Ok(()) }
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// let mut stream = session.work(&["delete"]);
    /// while let Some(mut work) = stream.next().await? {
    ///     match work.run(delete(&work)).await {
    ///         Ok(Ok(())) => drop(work.finish().set("status", "deleted").await?),
    ///         Ok(Err(_)) => drop(work.finish().set("status", "error_deleting").await?),
    ///         Err(loss) => println!("stopped in the middle: {loss}"), // for its crash rule
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn work(&self, operations: &[&str]) -> WorkStream {
        let operations = (!operations.is_empty()).then(|| operations.iter().map(ToString::to_string).collect());
        WorkStream::new(Taker { session: self.clone(), operations, resource_type: None, slots: slots(1) })
    }
}

impl WorkStream {
    pub(super) fn new(taker: Taker) -> WorkStream {
        WorkStream { taker: Arc::new(taker), taking: None }
    }

    /// Only work on resources of this type. To be called before the first `next`.
    pub fn resource_type(self, resource_type: &str) -> Self {
        let resource_type = Some(resource_type.to_owned());
        WorkStream::new(Taker { resource_type, ..(*self.taker).clone() })
    }

    /// How much work of this stream may be under way at a time: [`next`](Self::next) takes none before a piece has
    /// ended or its guard is dropped. Default: 1. To be called before the first `next`.
    pub fn concurrency(self, pieces: usize) -> Self {
        WorkStream::new(Taker { slots: slots(pieces), ..(*self.taker).clone() })
    }

    /// Takes the next piece of work, or waits for one. `None` after the session was [stopped](Session::stop).
    ///
    /// # Cancel safety
    /// A dropped future loses nothing, as in a branch of `tokio::select!`: the call goes on in the stream, and the next
    /// one gets what it has taken. While `next` is not called, such work waits there. If the stream is dropped, it goes
    /// back into the queue.
    ///
    /// # Errors
    /// [`Error::SessionLost`], [`Error::ServiceFenced`]; [`Error::Database`] with 22023 for an empty name or more than
    /// 16 operations, with 42501 if the role of the session may not change the status of any resource that waits.
    pub async fn next(&mut self) -> Result<Option<Work>, Error> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let taking = self.taking.get_or_insert_with(|| Box::pin(Arc::clone(&self.taker).next()));
        let next = ready!(taking.as_mut().poll(cx));
        self.taking = None;
        Poll::Ready(next)
    }
}

impl Stream for WorkStream {
    type Item = Result<Work, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx).map(Result::transpose)
    }
}

impl fmt::Debug for WorkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkStream").field("taker", &self.taker).finish_non_exhaustive()
    }
}

/// What a stream asks for.
#[derive(Debug, Clone)]
pub(super) struct Taker {
    pub(super) session: Session,
    /// `None` for all.
    pub(super) operations: Option<Vec<String>>,
    pub(super) resource_type: Option<String>,
    /// Permits for pieces of work under way.
    pub(super) slots: Arc<Semaphore>,
}

pub(super) fn slots(pieces: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(pieces.clamp(1, Semaphore::MAX_PERMITS)))
}

impl Taker {
    async fn next(self: Arc<Self>) -> Next {
        let lease = &self.session.core.lease;
        let answer = match lease.unless_lost(self.wait()).await {
            Ok(answer) => answer,
            Err(loss) => Err(loss.into()),
        };
        match answer {
            // A question that nothing waited for meanwhile is refused by the server, once the service is gone.
            Err(_) if lease.check() == Err(Loss::Stopped) => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn wait(&self) -> Result<Work, Error> {
        let mut slot = Some(Arc::clone(&self.slots).acquire_owned().await.expect("it is never closed"));
        let waiters = &self.session.core.volguard.waiters;
        let mut pauses = pauses();
        loop {
            let mut turn = pin!(Arc::clone(waiters).acquire_owned());
            let mut pause = Duration::ZERO;
            // Without a seat it doesn't wait in the database: a part of the pool is for others.
            let seat = loop {
                if let Ok(seat) = timeout(pause, &mut turn).await {
                    break seat;
                }
                if let Some(work) = self.ask(&mut slot, Duration::ZERO, &mut pauses).await? {
                    return Ok(work);
                }
                pause = pauses.next().unwrap_or_default();
            };
            let taken = self.ask(&mut slot, LONGEST_WAIT, &mut pauses).await;
            // The next round begins at the end of the line of those that want it.
            drop(seat);
            if let Some(work) = taken? {
                return Ok(work);
            }
        }
    }

    /// Asks once; after a passing error and a pause again, without waiting: where too many calls wait already, one that
    /// doesn't wait is let in.
    async fn ask(
        &self,
        slot: &mut Option<OwnedSemaphorePermit>,
        wait: Duration,
        pauses: &mut (impl Iterator<Item = Duration> + Send),
    ) -> Next {
        let passing = match self.take(slot, wait).await {
            Err(error) if error.is_retryable() => error,
            answer => return answer,
        };
        tracing::debug!(error = %passing, "next_work failed and is repeated");
        sleep(pauses.next().unwrap_or_default()).await;
        match self.take(slot, Duration::ZERO).await {
            Err(error) if error.is_retryable() => Ok(None),
            answer => answer,
        }
    }

    async fn take(&self, slot: &mut Option<OwnedSemaphorePermit>, wait: Duration) -> Next {
        let core = &self.session.core;
        core.lease.check()?;
        let mut flight = Flight::new(core, Uuid::new_v4(), OnDrop::Release, Places::default());
        let (id, operations) = (flight.id, self.operations.as_deref());
        let connection = flight.begin(wait).await?;
        let resource_type = self.resource_type.as_deref();
        let taken = sql::next_work(connection, core.service_id, 1, resource_type, operations, wait, Some(id)).await;
        let Some(row) = flight.end(taken)?.pop() else { return Ok(None) };
        let (resource_type, resource_id) = (row.resource_type.clone(), row.resource_id.clone());
        let name = Name { resource_type, resource_id, lock_name: row.lock_name.clone() };
        let guard = flight.land(self.session.clone(), vec![(Arc::new(name), row.token)]);
        // What comes too late is dropped, and so put back.
        core.lease.check()?;
        tracing::debug!(service_id = core.service_id, work_id = row.work_id, token = row.token, "taken");
        Ok(Some(Work::taken(guard, row, mem::take(slot))))
    }
}
