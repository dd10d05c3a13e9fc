//! The loop of a call that acquires locks, one or many: attempts, lookups and waits.

use super::conflict::{Blocker, Conflict};
use super::queues::Queues;
use super::request::Request;
use crate::cleanup::on_the_way;
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::settings;
use crate::pg::spi::Arg;
use crate::service::service_lock::ServiceLock;
use crate::store::tables::Tables;
use crate::wait::{WaitQueue, client, queue};
use std::collections::HashSet;

/// What a call does with its locks, decided when all are free and before the rows are inserted.
pub enum Ready {
    Take,
    /// Take the one lock with this status.
    TakeWith(Arg),
    /// Don't take them.
    Decline,
    /// Something else that the call needs is not free: let other calls go first, and try again.
    GiveWay,
}

/// The result of a call.
pub enum Got {
    /// The tokens, in the order of the locks.
    Tokens(Vec<i64>),
    /// The same, from an earlier call with this request id.
    HeldByRequest(Vec<i64>),
    NotFree,
    Declined,
}

pub struct Attempts<'r, R> {
    request: &'r Request<'r>,
    ready: R,
    queues: Queues,
    waiting_in: Option<WaitQueue>,
    /// The tokens of rows that a cleanup has failed to free. Another one would fail, and write, again.
    in_vain: HashSet<i64>,
}

/// The result of one attempt.
enum Tried {
    Ended(Got),
    GaveWay,
    Refused(Conflict),
}

enum Step {
    Attempt,
    /// Until head of the queue.
    WaitIn(WaitQueue),
    /// Until the row is gone.
    WaitFor(Blocker),
    End(Got),
}

/// Takes the locks of a request. The tokens, in the order of the locks; none if the locks are not free in time.
pub fn take(request: &Request) -> Result<Vec<i64>, Error> {
    Ok(match Attempts::of(request, || Ok(Ready::Take)).run()? {
        Got::Tokens(tokens) | Got::HeldByRequest(tokens) => tokens,
        Got::NotFree | Got::Declined => Vec::new(),
    })
}

impl<'r, R: FnMut() -> Result<Ready, Error>> Attempts<'r, R> {
    /// `ready` is called when all locks are free, under the service lock and as head of all queues.
    pub fn of(request: &'r Request<'r>, ready: R) -> Self {
        Attempts { request, ready, queues: Queues::of(&request.locks), waiting_in: None, in_vain: HashSet::new() }
    }

    /// Takes the locks when all are free.
    pub fn run(mut self) -> Result<Got, Error> {
        let got = self.attempt_until_over()?;
        // With its locks the call heads its queues until the commit. A refusal in a long transaction blocks no other
        // call.
        if !matches!(got, Got::Tokens(_)) {
            self.queues.leave();
        }
        Ok(got)
    }

    /// The first attempt is made without a lookup, since most often all locks are free, and so is one after a wait that
    /// ends as head of all queues. Any other attempt comes after a lookup without a conflict: an attempt heads the
    /// queues of free locks, which other calls may want.
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

    /// Under the service lock, as head of all queues. The lookup comes first because it never waits, while an insert
    /// waits for a transaction that is deleting the row.
    fn attempt(&mut self) -> Result<Tried, Error> {
        let request = self.request;
        let service_lock = ServiceLock::of(request.service_id);
        if !service_lock.lock_shared_within(&request.deadline)? {
            return Ok(Tried::Refused(Conflict::find(request)?));
        }
        let is_taken = |tried: &Tried| matches!(tried, Tried::Ended(Got::Tokens(_)));
        let tried = lookup_locks::kept_if(|| self.look_and_insert(), is_taken)?;
        if !is_taken(&tried) {
            service_lock.unlock_shared();
        }
        Ok(tried)
    }

    fn look_and_insert(&mut self) -> Result<Tried, Error> {
        let (request, tables) = (self.request, Tables::open()?);
        Ok(match Conflict::find_in(&tables, request)? {
            Conflict::None => match (self.ready)()? {
                Ready::Take => Tried::Ended(Got::Tokens(request.insert(&tables, None)?)),
                Ready::TakeWith(status) => Tried::Ended(Got::Tokens(request.insert(&tables, Some(status))?)),
                Ready::Decline => Tried::Ended(Got::Declined),
                Ready::GiveWay => Tried::GaveWay,
            },
            conflict => Tried::Refused(conflict),
        })
    }

    /// The step after a wait, or after an attempt that failed, perhaps because another call heads the queue `taken`.
    fn next(&mut self, conflict: Conflict, attempted: bool, taken: Option<WaitQueue>) -> Result<Step, Error> {
        Ok(match (conflict, taken) {
            (Conflict::HeldByRequest(tokens), _) => Step::End(Got::HeldByRequest(tokens)),
            (Conflict::Rows(rows), taken) => self.pass(rows, attempted, taken)?,
            (Conflict::None, Some(queue)) => Step::WaitIn(queue),
            // The service lock was not free, or the row in the way went between two lookups.
            (Conflict::None, None) if attempted && self.is_over() => Step::End(Got::NotFree),
            (Conflict::None, None) => Step::Attempt,
        })
    }

    /// The step for rows in the way: wait for one that lasts or, as head of all queues, clean up the holders of all.
    fn pass(&mut self, mut rows: Vec<Blocker>, attempted: bool, taken: Option<WaitQueue>) -> Result<Step, Error> {
        if let Some(lasting) = self.lasting(&rows) {
            return Ok(Step::WaitFor(rows.swap_remove(lasting)));
        }
        if let Some(queue) = taken {
            return Ok(Step::WaitIn(queue));
        }
        if !attempted {
            return Ok(Step::Attempt);
        }
        self.clean_up_and_attempt(rows)
    }

    /// A row that no cleanup frees. Of several, the one that the call waits for already, so that it keeps its place in
    /// the queue.
    fn lasting(&self, rows: &[Blocker]) -> Option<usize> {
        let lasts = |row: &Blocker| {
            let cleanable = row.cleanable && settings::auto_cleanup();
            !cleanable || self.in_vain.contains(&row.token)
        };
        let same = |row: &Blocker| self.waiting_in == Some(row.queue) && lasts(row);
        let same = rows.iter().position(same);
        same.or_else(|| rows.iter().position(lasts))
    }

    /// Cleans up the holders in the way, all of which are dead, and attempts to take the locks: both, or neither if the
    /// call goes on to wait. An answer of `ready` rests on the cleanup, which is kept.
    fn clean_up_and_attempt(&mut self, mut rows: Vec<Blocker>) -> Result<Step, Error> {
        let mut services: Vec<i64> = rows.iter().map(|row| row.service_id).collect();
        // In order, so that of two calls that clean up the same services one succeeds.
        services.sort_unstable();
        services.dedup();
        let mut undone = None;
        let deadline = self.request.deadline;
        // Before the cleanup, which should not stay uncommitted while the call waits for this.
        let service_lock = ServiceLock::of(self.request.service_id);
        if !service_lock.lock_shared_within(&deadline)? {
            return Ok(Step::WaitFor(rows.swap_remove(0)));
        }
        let got = on_the_way::clean_up_and(&deadline, services, || match self.attempt()? {
            Tried::Ended(got) => Ok(Some(got)),
            other => {
                undone = Some(other);
                Ok(None)
            }
        })?;
        if !matches!(got, Some(Got::Tokens(_))) {
            service_lock.unlock_shared();
        }
        if let Some(got) = got {
            return Ok(Step::End(got));
        }
        Ok(match undone {
            Some(Tried::GaveWay) if self.is_over() => Step::End(Got::NotFree),
            Some(Tried::GaveWay) => {
                self.queues.leave();
                client::check()?;
                Step::Attempt
            }
            // A row that the cleanup did not free lasts from now on.
            Some(Tried::Refused(Conflict::Rows(left))) => {
                let before = self.in_vain.len();
                self.in_vain.extend(left.iter().filter(|row| row.dead).map(|row| row.token));
                match self.in_vain.len() > before {
                    true => Step::Attempt,
                    false => Step::WaitFor(rows.swap_remove(0)),
                }
            }
            Some(Tried::Refused(conflict)) => self.next(conflict, true, None)?,
            Some(Tried::Ended(_)) => unreachable!("an attempt that ended is kept"),
            // Another cleanup runs, a row that this one needs is locked, or the holder is back.
            None => Step::WaitFor(rows.swap_remove(0)),
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
