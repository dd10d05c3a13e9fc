//! The loop of a call that acquires locks, one or many: attempts, lookups and waits.

use super::conflict::{Blocker, Conflict};
use super::queues::Queues;
use super::request::{Request, Wanted};
use crate::cleanup::ask;
use crate::cleanup::on_the_way;
use crate::cleanup::order::State;
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::settings;
use crate::pg::spi::Arg;
use crate::service::service_lock::ServiceLock;
use crate::store::tables::Tables;
use crate::wait::tag::Tag;
use crate::wait::{Present, WaitQueue, client, queue};
use std::collections::HashSet;
use std::time::Duration;

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

/// Whether a call may wait a moment for what it needs beside its locks. Where it has just fenced their holder it must
/// not: that keeps other calls from the other keys of that service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayWait {
    AMoment,
    No,
}

/// How long a call rests before it tries again what it must not wait for.
const REST: Duration = Duration::from_millis(100);

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
    present: Present,
    waiting_in: Option<WaitQueue>,
    /// The tokens of work whose repair has ended its process.
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
    Ok(match Attempts::of(request, |_| Ok(Ready::Take)).run()? {
        Got::Tokens(tokens) | Got::HeldByRequest(tokens) => tokens,
        Got::NotFree | Got::Declined => Vec::new(),
    })
}

impl<'r, R: FnMut(MayWait) -> Result<Ready, Error>> Attempts<'r, R> {
    /// `ready` is called when all locks are free, under the service lock and as head of all queues.
    pub fn of(request: &'r Request<'r>, ready: R) -> Self {
        let (queues, present) = (Queues::of(&request.locks), Present::of(request.service_id.unwrap_or_default()));
        Attempts { request, ready, queues, present, waiting_in: None, in_vain: HashSet::new() }
    }

    /// Takes the locks when all are free.
    pub fn run(mut self) -> Result<Got, Error> {
        let got = self.attempt_until_over()?;
        // With its locks the call heads its queues until the commit. A refusal in a long transaction blocks no other
        // call.
        if !matches!(got, Got::Tokens(_)) {
            self.queues.leave();
        }
        self.present.end();
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
                    None => match self.attempt(MayWait::AMoment)? {
                        Tried::Ended(got) => return Ok(got),
                        Tried::Refused(conflict) => (conflict, None),
                        Tried::GaveWay if self.is_over() => return Ok(Got::NotFree),
                        Tried::GaveWay => {
                            self.give_way()?;
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
    fn attempt(&mut self, may_wait: MayWait) -> Result<Tried, Error> {
        let request = self.request;
        let service_lock = request.service_id.map(ServiceLock::of);
        if let Some(service_lock) = &service_lock {
            let before_wait = || announce(&mut self.present, service_lock.tag(), &request.locks[0]);
            if !service_lock.lock_shared_within(&request.deadline, before_wait)? {
                return Ok(Tried::Refused(Conflict::find(request)?));
            }
        }
        let is_taken = |tried: &Tried| matches!(tried, Tried::Ended(Got::Tokens(_)));
        let tried = lookup_locks::kept_if(|| self.look_and_insert(may_wait), is_taken)?;
        if let (Some(service_lock), false) = (service_lock, is_taken(&tried)) {
            service_lock.unlock_shared();
        }
        Ok(tried)
    }

    fn look_and_insert(&mut self, may_wait: MayWait) -> Result<Tried, Error> {
        let (request, tables) = (self.request, Tables::open()?);
        Ok(match Conflict::find_in(&tables, request)? {
            Conflict::None => match (self.ready)(may_wait)? {
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

    /// Clears the keys of their holders, all of which are dead, and attempts to take the locks: both, or neither if the
    /// call goes on to wait. An answer of `ready` rests on what was cleared, which is kept.
    fn clean_up_and_attempt(&mut self, mut rows: Vec<Blocker>) -> Result<Step, Error> {
        let deadline = self.request.deadline;
        for at in 0..rows.len() {
            if rows[at].is_changing()? {
                return Ok(Step::WaitFor(rows.swap_remove(at)));
            }
        }
        let is_work = |row: &Blocker| row.work().is_some();
        if let Some(first) = rows.iter().position(is_work) {
            let first_work = rows.swap_remove(first);
            return self.have_repaired(first_work, rows);
        }
        // Before the cleanup, which should not stay uncommitted while the call waits for this.
        let service_lock = self.request.service_id.map(ServiceLock::of);
        let first = &self.request.locks[0];
        if let Some(service_lock) = &service_lock {
            let before_wait = || announce(&mut self.present, service_lock.tag(), first);
            if !service_lock.lock_shared_within(&deadline, before_wait)? {
                return Ok(Step::WaitFor(rows.swap_remove(0)));
            }
        }
        let step = self.clear_and_attempt(rows)?;
        if let (Some(service_lock), false) = (service_lock, matches!(step, Step::End(Got::Tokens(_)))) {
            service_lock.unlock_shared();
        }
        Ok(step)
    }

    /// Has the work among the rows repaired. The call waits for that as for any other holder.
    fn have_repaired(&mut self, first: Blocker, others: Vec<Blocker>) -> Result<Step, Error> {
        self.waiting_in = Some(first.queue);
        self.queues.give_way_but_in(first.queue);
        announce_queue(&mut self.present, self.request, first.queue)?;
        let work: Vec<_> = others.iter().chain([&first]).filter_map(Blocker::work).collect();
        let answer = ask::repair_in_turn(&work, &self.request.deadline)?;
        // A process that has ended while it ran the rule would end again.
        self.in_vain.extend(answer.tokens_in(State::Trying));
        Ok(match work.iter().all(|work| answer.state(work.token).is_done()) {
            true => Step::Attempt,
            false => Step::WaitFor(first),
        })
    }

    fn clear_and_attempt(&mut self, mut rows: Vec<Blocker>) -> Result<Step, Error> {
        let deadline = self.request.deadline;
        loop {
            let obstacles: Vec<_> = rows.iter().filter_map(Blocker::obstacle).collect();
            let mut undone = None;
            let cleared = on_the_way::clear_and(&deadline, &obstacles, || match self.attempt(MayWait::No)? {
                Tried::Ended(got) => Ok(Some(got)),
                other => {
                    undone = Some(other);
                    Ok(None)
                }
            })?;
            match (cleared, undone) {
                (Some(got), _) => return Ok(Step::End(got)),
                (_, Some(Tried::GaveWay)) if self.is_over() => return Ok(Step::End(Got::NotFree)),
                (_, Some(Tried::GaveWay)) => {
                    self.queues.leave();
                    queue::sleep(deadline.sleep()?.min(REST))?;
                    return Ok(Step::Attempt);
                }
                // Behind a row that was cleared stands another one, such as that of the work slot.
                (_, Some(Tried::Refused(Conflict::Rows(next))))
                    if self.lasting(&next).is_none() && next.iter().all(|row| row.work().is_none()) =>
                {
                    let before = rows.len();
                    let is_new = |next: &Blocker| rows.iter().all(|row| row.token != next.token);
                    let new: Vec<_> = next.into_iter().filter(is_new).collect();
                    rows.extend(new);
                    if rows.len() == before {
                        return Ok(Step::WaitFor(rows.swap_remove(0)));
                    }
                }
                (_, Some(Tried::Refused(conflict))) => return self.next(conflict, true, None),
                // Another cleanup runs, a row is locked, or the holder is back.
                (None, None) => return Ok(Step::WaitFor(rows.swap_remove(0))),
                (_, Some(Tried::Ended(_))) => unreachable!("an attempt that ended is kept"),
            }
        }
    }

    /// Lets other calls go first. The next attempt waits for the row of the resource once more.
    fn give_way(&mut self) -> Result<(), Error> {
        let lock = &self.request.locks[0];
        self.present.waits_for_row(lock.queue().tag(), names(lock))?;
        self.queues.leave();
        client::check()
    }

    /// False if the time ran out.
    fn wait_in(&mut self, queue: WaitQueue) -> Result<bool, Error> {
        self.waiting_in = Some(queue);
        let (request, present) = (self.request, &mut self.present);
        self.queues.wait_in(queue, &request.deadline, |queue| announce_queue(present, request, queue))
    }

    fn wait_for(&mut self, row: &Blocker) -> Result<bool, Error> {
        if !self.queues.heads(row.queue) {
            return self.wait_in(row.queue);
        }
        self.waiting_in = Some(row.queue);
        self.queues.give_way_but_in(row.queue);
        announce_queue(&mut self.present, self.request, row.queue)?;
        row.wait(&self.request.deadline)?;
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.request.deadline.left().is_zero()
    }
}

/// Tells others what the call waits for, before it does.
fn announce(present: &mut Present, tag: &Tag, lock: &Wanted) -> Result<(), Error> {
    present.waits_for(tag, names(lock))
}

fn names<'w>(lock: &Wanted<'w>) -> [&'w str; 3] {
    [lock.key.resource_type, lock.key.resource_id, lock.key.lock_name]
}

fn announce_queue(present: &mut Present, request: &Request, queue: WaitQueue) -> Result<(), Error> {
    let of_lock = |lock: &&Wanted| lock.queue() == queue || lock.work_queue() == Some(queue);
    let lock = request.locks.iter().find(of_lock).expect("a queue of this call");
    announce(present, queue.tag(), lock)
}
