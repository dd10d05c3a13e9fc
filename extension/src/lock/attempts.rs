//! A call on its way to its locks: attempts, lookups and waits, for one lock as for many.

use super::conflict::{Blocker, Conflict};
use super::queues::Queues;
use super::request::Request;
use crate::cleanup::on_the_way::{self, Clearing};
use crate::pg::error::Error;
use crate::pg::settings;
use crate::pg::spi::Arg;
use crate::service::guard::ServiceLock;
use crate::store::tables::Tables;
use crate::store::token;
use crate::wait::{WaitQueue, client, queue};
use std::collections::HashSet;

/// What the caller says when all locks are free, before the rows are inserted.
pub enum Ready {
    Take,
    /// Take the lock, with this status.
    TakeWith(Arg),
    /// Don't: there is no use for it.
    Decline,
    /// Something else that is needed is taken: let other calls go first, and try again.
    GiveWay,
}

/// What came of a call.
pub enum Got {
    /// The tokens, in the order of the locks.
    Tokens(Vec<i64>),
    /// The same, of locks that an earlier call of this request got.
    HeldByRequest(Vec<i64>),
    NotFree,
    Declined,
}

pub struct Attempts<'r, R> {
    request: &'r Request<'r>,
    ready: R,
    queues: Queues,
    waiting_in: Option<WaitQueue>,
    /// Tokens of rows whose cleanup was tried in vain: trying again would only fail, and write, again.
    in_vain: HashSet<i64>,
}

/// What came of one attempt.
enum Tried {
    Ended(Got),
    GaveWay,
    Refused(Conflict),
}

enum Step {
    Attempt,
    /// For the head of a queue.
    WaitIn(WaitQueue),
    /// For a row that is in the way.
    WaitFor(Blocker),
    End(Got),
}

impl<'r, R: FnMut() -> Result<Ready, Error>> Attempts<'r, R> {
    /// `ready` is asked when all locks are free, under the service lock and as head of all queues.
    pub fn of(request: &'r Request<'r>, ready: R) -> Self {
        Attempts {
            request,
            ready,
            queues: Queues::of(&request.locks),
            waiting_in: None,
            in_vain: HashSet::new(),
        }
    }

    /// Takes the locks once all are free.
    pub fn run(mut self) -> Result<Got, Error> {
        let got = self.attempt_until_over()?;
        match got {
            // Not committed yet: the queues stay headed until then.
            Got::Tokens(_) => token::make_durable(),
            // So that a long transaction doesn't block other calls with a refusal.
            _ => self.queues.leave(),
        }
        Ok(got)
    }

    /// The first attempt is made without a lookup, since most often all locks are free. So is one after a wait that left all
    /// queues headed. Any other comes after a lookup that found nothing in the way: an attempt heads queues of locks that
    /// other calls may want.
    fn attempt_until_over(&mut self) -> Result<Got, Error> {
        let mut attempting = true;
        loop {
            queue::before_lookup()?;
            let (conflict, taken) = match attempting {
                false => (Conflict::find(self.request)?, None),
                true => match self.queues.head_free_ones()? {
                    Some(taken) => (Conflict::find(self.request)?, Some(taken)),
                    None => match self.attempt()? {
                        Tried::Ended(got) => return Ok(got),
                        Tried::Refused(conflict) => (conflict, None),
                        Tried::GaveWay if self.is_over() => return Ok(Got::NotFree),
                        Tried::GaveWay => {
                            self.queues.leave();
                            client::check()?;
                            continue;
                        }
                    },
                },
            };
            let on_time = match self.next(conflict, attempting, taken)? {
                Step::End(got) => return Ok(got),
                Step::Attempt => {
                    attempting = true;
                    continue;
                }
                Step::WaitIn(_) | Step::WaitFor(_) if self.is_over() => false,
                Step::WaitIn(queue) => self.wait_in(queue)?,
                Step::WaitFor(row) => self.wait_for(&row)?,
            };
            if !on_time {
                return Ok(Got::NotFree);
            }
            attempting = self.queues.heads_all();
        }
    }

    /// Under the service lock, as head of all queues. A lookup never waits; an insert would, for a transaction that is
    /// deleting the row.
    fn attempt(&mut self) -> Result<Tried, Error> {
        let request = self.request;
        let guard = ServiceLock::of(request.service_id);
        if !guard.lock_shared_within(&request.deadline)? {
            return Ok(Tried::Refused(Conflict::find(request)?));
        }
        let tables = Tables::open()?;
        let tried = match Conflict::find(request)? {
            Conflict::None => match (self.ready)()? {
                Ready::Take => Tried::Ended(Got::Tokens(request.insert(&tables, None)?)),
                Ready::TakeWith(status) => {
                    Tried::Ended(Got::Tokens(request.insert(&tables, Some(status))?))
                }
                Ready::Decline => Tried::Ended(Got::Declined),
                Ready::GiveWay => Tried::GaveWay,
            },
            conflict => Tried::Refused(conflict),
        };
        if !matches!(tried, Tried::Ended(Got::Tokens(_))) {
            guard.unlock_shared();
        }
        Ok(tried)
    }

    /// What to do after an attempt that got nothing, for instance because a queue is `taken`; or after a wait.
    fn next(
        &mut self,
        conflict: Conflict,
        attempted: bool,
        taken: Option<WaitQueue>,
    ) -> Result<Step, Error> {
        Ok(match (conflict, taken) {
            (Conflict::HeldByRequest(tokens), _) => Step::End(Got::HeldByRequest(tokens)),
            (Conflict::Rows(rows), taken) => self.pass(rows, attempted, taken)?,
            (Conflict::None, Some(queue)) => Step::WaitIn(queue),
            // The service lock was taken, or what was in the way went between the two lookups.
            (Conflict::None, None) if attempted && self.is_over() => Step::End(Got::NotFree),
            (Conflict::None, None) => Step::Attempt,
        })
    }

    /// Some rows are in the way: waits for one that lasts, or has all cleaned up as head of all queues.
    fn pass(
        &mut self,
        mut rows: Vec<Blocker>,
        attempted: bool,
        taken: Option<WaitQueue>,
    ) -> Result<Step, Error> {
        if let Some(lasting) = self.lasting(&rows) {
            return Ok(Step::WaitFor(rows.swap_remove(lasting)));
        }
        if let Some(queue) = taken {
            return Ok(Step::WaitIn(queue));
        }
        if !attempted {
            return Ok(Step::Attempt);
        }
        Ok(match self.clean_up(&rows)? {
            Clearing::Cleared | Clearing::InVain => Step::Attempt,
            Clearing::Busy => Step::WaitFor(rows.swap_remove(0)),
        })
    }

    /// A row that no cleanup frees; of several the one that it waits for already, so that it keeps its place in the queue.
    fn lasting(&self, rows: &[Blocker]) -> Option<usize> {
        let lasts = |row: &Blocker| {
            let hopeful = row.cleanable && settings::auto_cleanup();
            !hopeful || self.in_vain.contains(&row.token)
        };
        let same = |row: &Blocker| self.waiting_in == Some(row.queue) && lasts(row);
        let same = rows.iter().position(same);
        same.or_else(|| rows.iter().position(lasts))
    }

    /// Has the holders cleaned up that are in the way, all of them dead.
    fn clean_up(&mut self, rows: &[Blocker]) -> Result<Clearing, Error> {
        let (request, in_vain) = (self.request, &mut self.in_vain);
        let mut services: Vec<i64> = rows.iter().map(|row| row.service_id).collect();
        // In order, so that of two calls that have the same ones to clean up one gets through.
        services.sort_unstable();
        services.dedup();
        on_the_way::clear(&request.deadline, services, || {
            let Conflict::Rows(left) = Conflict::find(request)? else {
                return Ok(Clearing::Cleared);
            };
            let dead = left.iter().filter(|row| row.dead);
            let before = in_vain.len();
            in_vain.extend(dead.map(|row| row.token));
            Ok(match in_vain.len() > before {
                true => Clearing::InVain,
                false => Clearing::Busy,
            })
        })
    }

    /// False if the time ran out.
    fn wait_in(&mut self, queue: WaitQueue) -> Result<bool, Error> {
        self.waiting_in = Some(queue);
        self.queues.wait_in(queue, &self.request.deadline)
    }

    fn wait_for(&mut self, row: &Blocker) -> Result<bool, Error> {
        if !self.queues.heads(row.queue) {
            return self.wait_in(row.queue);
        }
        self.waiting_in = Some(row.queue);
        self.queues.give_way_but_in(row.queue);
        row.wait(&self.request.deadline)?;
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.request.deadline.left().is_zero()
    }
}
