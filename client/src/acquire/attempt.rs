//! Acquiring in the database, in a task that outlives the caller's future.
//!
//! Once the statement is sent, its outcome must be learnt. So the task owns the connection, waits for the answer, and
//! hands the lock over. If the caller is gone, the lock is dropped: that releases it, or leaves its work to cleanup.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Granted, Refused, Reply, Request};
use crate::error::{Error, outcome_unknown};
use crate::lock::Lock;
use crate::queue::Places;
use crate::reaper::Unsettled;
use crate::session::{Loss, Session};

type Answer = Result<Result<Vec<Lock>, Refused>, Error>;

/// How much later than the end of the wait the server may answer.
const GRACE: Duration = Duration::from_secs(10);

/// Pause between two requests to cancel a statement that still runs.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);

/// Pause between two tries whose connection broke.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A request at the head of its queues in this process.
pub(super) struct Attempt {
    session: Session,
    request: Request,
    deadline: Instant,
    /// Taken by the first answer. A lock that comes later is dropped.
    reply: Option<oneshot::Sender<Answer>>,
    /// Set if the outcome of a statement of this request is unknown: when the statement will certainly be over on the
    /// server.
    doubt: Option<Instant>,
}

/// Why the wait ends early.
enum Interruption {
    CallerGone,
    SessionLost(Loss),
    NoReply,
}

/// The outcome of one statement.
enum Outcome {
    Granted(Vec<Granted>),
    Refused(Refused),
    /// Nothing is held.
    Failed(Error),
    /// Locks may be held, now or when the statement gets through.
    Unknown(Error),
}

impl Attempt {
    pub(super) fn new(
        session: Session,
        request: Request,
        deadline: Instant,
        reply: oneshot::Sender<Answer>,
    ) -> Attempt {
        Attempt { session, request, deadline, reply: Some(reply), doubt: None }
    }

    pub(super) async fn run(mut self, places: Places) {
        let core = Arc::clone(self.session.core());
        // A request with the id of an unsettled one takes over its locks and its doubt.
        let inherited = core.unsettled().remove(&self.request.id);
        self.doubt = inherited.map(|unsettled| unsettled.until);
        let answer = self.drive(places).await;
        if let Err(error) = &answer {
            core.heed(error);
        }
        if let Some(until) = self.doubt {
            let keys = self.request.keys();
            let work = self.request.is_work();
            let unsettled = Unsettled { keys, until, work };
            core.unsettled().insert(self.request.id, unsettled);
            self.session.reaper().settle();
        }
        self.answer(answer);
    }

    /// Locks that the caller doesn't receive are dropped.
    fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer);
        }
    }

    async fn drive(&mut self, places: Places) -> Answer {
        let core = Arc::clone(self.session.core());
        let seat = match self.seat().await {
            Ok(seat) => seat,
            Err(interruption) => return interruption.answer(),
        };
        let _gate = tokio::select! {
            gate = core.gate.read() => gate,
            interruption = self.interruption(None) => return interruption.answer(),
        };
        let mut again = false;
        loop {
            let error = match self.ask(seat.is_some()).await {
                Outcome::Granted(granted) => {
                    let locks = self.guard(granted, places);
                    // Locks that come too late are dropped, which releases them.
                    core.lease.check().map_err(Error::SessionLost)?;
                    return Ok(Ok(locks));
                }
                Outcome::Refused(why) => return Ok(Err(why)),
                Outcome::Failed(error) => return Err(error),
                Outcome::Unknown(error) => error,
            };
            core.lease.check().map_err(Error::SessionLost)?;
            if self.caller_gone() || (again && Instant::now() >= self.deadline) {
                return Err(error);
            }
            tracing::debug!(request_id = %self.request.id, %error, "acquire is repeated");
            if again {
                sleep(RETRY_AFTER).await;
            }
            again = true;
        }
    }

    fn guard(&self, granted: Vec<Granted>, mut places: Places) -> Vec<Lock> {
        granted
            .into_iter()
            .map(|one| {
                let place = places.remove(&one.key);
                Lock::new(self.session.clone(), self.request.id, one, place)
            })
            .collect()
    }

    fn caller_gone(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// A permit to wait in the database. If there is none by the deadline, the server is asked once, without waiting.
    async fn seat(&mut self) -> Result<Option<OwnedSemaphorePermit>, Interruption> {
        let deadline = self.deadline;
        if deadline <= Instant::now() {
            return Ok(None);
        }
        let waiting = Arc::clone(self.session.core().volguard.waiting());
        tokio::select! {
            seat = waiting.acquire_owned() => Ok(seat.ok()),
            () = sleep_until(deadline) => Ok(None),
            interruption = self.interruption(None) => Err(interruption),
        }
    }

    /// Asks the server once. The outcome is unknown only if it can't be learnt.
    async fn ask(&mut self, seated: bool) -> Outcome {
        let volguard = self.session.core().volguard.clone();
        let client = tokio::select! {
            client = volguard.checkout() => client,
            interruption = self.interruption(None) => {
                self.answer(interruption.answer());
                return Outcome::Refused(Refused::NotFree);
            }
        };
        let client = match client {
            Ok(client) => client,
            Err(error) if self.doubt.is_some() => return Outcome::Unknown(error),
            Err(error) => return Outcome::Failed(error),
        };
        let wait = if seated { self.deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
        let overdue = Instant::now() + wait + GRACE;
        let outcome = match self.send(&client, wait, overdue).await {
            Some(Ok(Ok(granted))) => Outcome::Granted(granted),
            Some(Ok(Err(why))) => Outcome::Refused(why),
            Some(Err(error)) if outcome_unknown(&error) => Outcome::Unknown(error.into()),
            Some(Err(error)) => Outcome::Failed(Error::from(error)),
            None => Outcome::Unknown(Error::NoReply),
        };
        if let Outcome::Unknown(_) = outcome {
            let over_by = overdue.max(Instant::now() + GRACE);
            self.doubt = self.doubt.max(Some(over_by));
            // The backend may not notice that the client is gone, and keep its place in the wait queue.
            self.call_off(client);
        } else if self.reply.is_none() && volguard.cancels() {
            // Not back into the pool: the cancel request may arrive late.
            drop(Object::take(client));
        }
        outcome
    }

    /// The server's answer, or `None` if there was none long after it was due. The caller is answered as soon as the
    /// server's answer makes no difference to it; the server's answer is awaited all the same.
    async fn send(
        &mut self,
        client: &Object,
        wait: Duration,
        overdue: Instant,
    ) -> Option<Result<Reply, tokio_postgres::Error>> {
        let core = Arc::clone(self.session.core());
        let request = self.request.clone();
        let mut statement = pin!(request.send(&core, client, wait));
        let interruption = tokio::select! {
            biased;
            answer = &mut statement => return Some(answer),
            interruption = self.interruption(Some(overdue)) => interruption,
        };
        self.answer(interruption.answer());
        let volguard = core.volguard.clone();
        let statement_of = client.cancel_token();
        // A cancel request that overtakes the statement finds nothing to cancel, so it is repeated.
        let call_off = async {
            loop {
                volguard.cancel(&statement_of).await;
                sleep(CANCEL_AGAIN).await;
            }
        };
        tokio::select! {
            answer = timeout_at(overdue + GRACE, statement) => answer.ok(),
            () = call_off => None,
        }
    }

    fn call_off(&self, client: Object) {
        let volguard = self.session.core().volguard.clone();
        tokio::spawn(async move {
            volguard.cancel(&client.cancel_token()).await;
            drop(Object::take(client));
        });
    }

    async fn interruption(&mut self, overdue: Option<Instant>) -> Interruption {
        let overdue = async {
            match overdue {
                Some(overdue) => sleep_until(overdue).await,
                None => std::future::pending().await,
            }
        };
        let caller_gone = async {
            match &mut self.reply {
                Some(reply) => reply.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = caller_gone => Interruption::CallerGone,
            loss = self.session.core().lease.lost() => Interruption::SessionLost(loss),
            () = overdue => Interruption::NoReply,
        }
    }
}

impl Interruption {
    fn answer(self) -> Answer {
        match self {
            // This answer reaches no caller.
            Interruption::CallerGone => Ok(Err(Refused::NotFree)),
            Interruption::SessionLost(loss) => Err(Error::SessionLost(loss)),
            Interruption::NoReply => Err(Error::NoReply),
        }
    }
}
