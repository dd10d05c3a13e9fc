//! Asking the database, in a task that outlives the caller's future.
//!
//! Once the statement is sent somebody has to learn what became of it. So the task owns the connection and
//! hands the lock over at the end; a lock that nobody takes delivery of is dropped, which releases it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::error::SqlState;

use super::Request;
use crate::connect::cancel;
use crate::error::{Error, outcome_unknown};
use crate::lock::Lock;
use crate::queue::Place;
use crate::reaper::Unsettled;
use crate::session::{Loss, Session};

type Answer = Result<Option<Lock>, Error>;

/// How much later than the end of the wait the server may answer.
const GRACE: Duration = Duration::from_secs(10);

/// Between two tries whose connection broke.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A request at the head of its line.
pub(super) struct Attempt {
    pub(super) session: Session,
    pub(super) request: Request,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Answer>,
    /// If a statement of this request met an unknown fate: when it will certainly be over on the server.
    doubt: Option<Instant>,
}

/// Why not to wait any longer.
enum Interruption {
    CallerGone,
    SessionLost(Loss),
    NoReply,
}

/// What one statement came to.
enum Outcome {
    Token(i64),
    NotFree,
    /// Nothing is held.
    Failed(Error),
    /// A token may be held, now or as soon as the statement gets through.
    Unknown(Error),
}

impl Attempt {
    pub(super) fn new(
        session: Session,
        request: Request,
        deadline: Instant,
        reply: oneshot::Sender<Answer>,
    ) -> Attempt {
        Attempt {
            session,
            request,
            deadline,
            reply,
            doubt: None,
        }
    }

    pub(super) async fn run(mut self, place: Place) {
        let core = Arc::clone(self.session.core());
        // Whoever asks again under the id of an unsettled request takes over what that request got, and the
        // doubt.
        let inherited = core.unsettled().remove(&self.request.id);
        self.doubt = inherited.map(|unsettled| unsettled.until);
        let answer = self.drive(place).await;
        if let Err(error) = &answer {
            core.heed(error);
        }
        if let Some(until) = self.doubt {
            let key = Arc::clone(&self.request.key);
            let unsettled = Unsettled { key, until };
            core.unsettled().insert(self.request.id, unsettled);
            self.session.reaper().settle();
        }
        let _ = self.reply.send(answer);
    }

    async fn drive(&mut self, place: Place) -> Answer {
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
                Outcome::Token(token) => {
                    let lock = Lock::new(self.session.clone(), &self.request, token, place);
                    // Too late: dropped, which releases it.
                    core.lease.check().map_err(Error::SessionLost)?;
                    return Ok(Some(lock));
                }
                Outcome::NotFree => return Ok(None),
                Outcome::Failed(error) => return Err(error),
                Outcome::Unknown(error) => error,
            };
            core.lease.check().map_err(Error::SessionLost)?;
            if self.reply.is_closed() || (again && Instant::now() >= self.deadline) {
                return Err(error);
            }
            tracing::debug!(request_id = %self.request.id, %error, "acquire is repeated");
            if again {
                sleep(RETRY_AFTER).await;
            }
            again = true;
        }
    }

    /// Leave to wait in the database. Without it by the deadline, the server is asked once, without waiting.
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

    /// Asks the server once, and learns what became of the question if it can be learnt.
    async fn ask(&mut self, seated: bool) -> Outcome {
        let volguard = self.session.core().volguard.clone();
        let client = tokio::select! {
            client = volguard.checkout() => client,
            interruption = self.interruption(None) => return interruption.outcome(),
        };
        let client = match client {
            Ok(client) => client,
            Err(error) if self.doubt.is_some() => return Outcome::Unknown(error),
            Err(error) => return Outcome::Failed(error),
        };
        let wait = if seated {
            self.deadline.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        let overdue = Instant::now() + wait + GRACE;
        let outcome = self.send(client, wait, overdue).await;
        if let Outcome::Unknown(_) = outcome {
            let over_by = overdue.max(Instant::now() + GRACE);
            self.doubt = self.doubt.max(Some(over_by));
        }
        outcome
    }

    async fn send(&mut self, client: Object, wait: Duration, overdue: Instant) -> Outcome {
        let core = Arc::clone(self.session.core());
        let request = self.request.clone();
        let (answer, interruption) = {
            let mut statement = pin!(request.send(&core, &client, wait));
            tokio::select! {
                biased;
                answer = &mut statement => (Some(answer), None),
                interruption = self.interruption(Some(overdue)) => {
                    cancel(&client.cancel_token()).await;
                    (timeout(GRACE, statement).await.ok(), Some(interruption))
                }
            }
        };
        let outcome = match answer {
            Some(Ok(Some(token))) => Outcome::Token(token),
            Some(Ok(None)) => Outcome::NotFree,
            Some(Err(error)) if outcome_unknown(&error) => Outcome::Unknown(error.into()),
            Some(Err(error)) => Outcome::Failed(Error::from_acquire(error)),
            None => Outcome::Unknown(Error::NoReply),
        };
        let Some(interruption) = interruption else {
            if matches!(outcome, Outcome::Unknown(_)) {
                // The backend may not notice that nobody listens, and keep its place in the line for as long as
                // the wait lasts.
                let token = client.cancel_token();
                tokio::spawn(async move { cancel(&token).await });
            }
            return outcome;
        };
        // Not for others: the cancel request may arrive late.
        drop(Object::take(client));
        match outcome {
            Outcome::Failed(error) if error.sqlstate() == Some(&SqlState::QUERY_CANCELED) => {
                interruption.outcome()
            }
            other => other,
        }
    }

    async fn interruption(&mut self, overdue: Option<Instant>) -> Interruption {
        let overdue = async {
            match overdue {
                Some(overdue) => sleep_until(overdue).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.reply.closed() => Interruption::CallerGone,
            loss = self.session.core().lease.lost() => Interruption::SessionLost(loss),
            () = overdue => Interruption::NoReply,
        }
    }
}

impl Interruption {
    fn outcome(self) -> Outcome {
        match self {
            Interruption::CallerGone => Outcome::NotFree,
            Interruption::SessionLost(loss) => Outcome::Failed(Error::SessionLost(loss)),
            Interruption::NoReply => Outcome::Failed(Error::NoReply),
        }
    }

    fn answer(self) -> Answer {
        match self {
            Interruption::CallerGone => Ok(None),
            Interruption::SessionLost(loss) => Err(Error::SessionLost(loss)),
            Interruption::NoReply => Err(Error::NoReply),
        }
    }
}
