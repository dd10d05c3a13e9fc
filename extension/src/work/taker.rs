//! Looks for work that a service may take, and sleeps until there is some.
//!
//! Each look is made under the service lock, and leaves no lock on a table. Between two of them the call sleeps, with
//! its bells, until one of them is rung, or until work is due.

use super::lane::{self, Lane, Service, Wishes};
use super::lookout;
use crate::pg::catch::check_interrupts;
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::scratch::{self, scratch};
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::service::identity::{self, Acting};
use crate::service::service_lock::ServiceLock;
use crate::store::clusters::Marks;
use crate::store::hand_out::{self, HandedOut, Locked};
use crate::store::liveness::Liveness;
use crate::store::queue::Queue;
use crate::store::tables::Tables;
use crate::store::token;
use crate::wait::bell::Bells;
use crate::wait::{Deadline, Present, queue};
use pgrx::datum::Uuid;
use pgrx::pg_sys::{self, HeapTuple, TimestampTz};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

/// A call of `next_work`.
pub struct Taker<'t> {
    pub service_id: i64,
    pub acting: Acting,
    pub max_rows: usize,
    pub wishes: &'t Wishes,
    /// By which a repeated call gets what this one got, and `release_requests` puts it back.
    pub request_id: Option<Uuid>,
}

/// What a look has found.
enum Found {
    Work(Vec<HandedOut>),
    /// The service, or its cluster, is disabled.
    Disabled,
    /// Nothing that can be taken now.
    Nothing {
        /// Work that is due, but not for this service's role.
        others: Vec<Lane>,
        /// When the first work will be due.
        due_at: Option<TimestampTz>,
    },
}

impl Taker<'_> {
    /// What an earlier call under the request id got and the service still has. A fenced service has nothing.
    pub fn held_by_request(&self) -> Result<Vec<HandedOut>, Error> {
        let Some(id) = self.request_id.filter(|_| !sabotage::removed(Guard::RequestId)) else {
            return Ok(Vec::new());
        };
        lookup_locks::given_back(|| {
            identity::require_unfenced(self.service_id)?;
            hand_out::under_request(&Tables::open()?, self.service_id, id)
        })
    }

    pub fn take_within(&self, deadline: &Deadline) -> Result<Vec<HandedOut>, Error> {
        let mut present = Present::of(self.service_id);
        let mut bells = self.wishes.bells(&self.acting.cluster, &self.acting.host);
        // What was left to other calls once need not be passed on again.
        let mut passed_on = Vec::new();
        let taken = loop {
            queue::before_lookup()?;
            let was_waiting = bells.are_held();
            let is_last = deadline.left().is_zero();
            if is_last {
                bells.leave();
            }
            match self.look()? {
                Found::Work(work) => {
                    bells.leave();
                    if was_waiting {
                        self.ring_for_the_rest()?;
                    }
                    break work;
                }
                _ if is_last => break Vec::new(),
                // With bells it would be woken in place of a call that may take the work.
                Found::Disabled => {
                    bells.leave();
                    present.waits_for(bells.first(), self.wishes.names())?;
                    queue::sleep(deadline.sleep()?)?;
                }
                Found::Nothing { others, due_at } => {
                    if bells.are_held() {
                        self.pass_on(others, &mut passed_on, &mut bells)?;
                    } else {
                        // What becomes visible from now on finds the bells. What has become visible before, the next
                        // look finds.
                        bells.take()?;
                        continue;
                    }
                    present.waits_for(bells.first(), self.wishes.names())?;
                    queue::sleep(deadline.sleep()?.min(until(due_at)))?;
                }
            }
        };
        present.end();
        Ok(taken)
    }

    /// Under the service lock, which is kept if there is work.
    fn look(&self) -> Result<Found, Error> {
        let service_lock = ServiceLock::of(self.service_id);
        service_lock.lock_shared()?;
        let is_work = |found: &Found| matches!(found, Found::Work(_));
        // A call that waits looks many times, and frees no memory of its statement before its end.
        let look = || scratch::kept_if(|| self.look_and_take(), |found| found.as_ref().is_ok_and(is_work));
        let found = lookup_locks::kept_if(look, is_work)?;
        // Under the service lock it stays the service's until the commit.
        if !is_work(&found) {
            service_lock.unlock_shared();
        }
        Ok(found)
    }

    fn look_and_take(&self) -> Result<Found, Error> {
        let (tables, marks) = (Tables::open()?, Marks::open()?);
        let (liveness, disabled) = tables.liveness_and_mark(self.service_id, marks.of_service)?;
        match liveness {
            Liveness::Fenced => return Err(Error::ServiceFenced(self.service_id)),
            Liveness::Expired | Liveness::Broken => return Err(Error::LeaseExpired(self.service_id)),
            Liveness::Alive(_) => {}
        }
        if disabled || marks.on(&self.acting.cluster)? {
            return Ok(Found::Disabled);
        }
        let queue = Queue::of(&tables, &self.acting.cluster)?;
        let mut known_first = true;
        loop {
            // SAFETY: reads the clock.
            let now = unsafe { pg_sys::GetCurrentTimestamp() };
            let known = match known_first {
                true => Self::read(|| self.known(&queue, now))?,
                false => None,
            };
            let is_full = known.is_none();
            let lanes = known.map_or_else(|| Self::read(|| self.all(&queue)), Ok)?;
            let mut due_at = lane::due_after(&lanes, now);
            let (lanes, others) = lane::permitted(lane::in_order(lanes, now), self.acting.role(), self.wishes)?;
            let locked = self.lock(&queue, &lanes, now)?;
            if !locked.rows.is_empty() {
                return self.hand_out(&tables, &locked.rows).map(Found::Work);
            }
            // What is known may all be locked, while there is work elsewhere.
            if locked.saw_change || !(is_full || sabotage::removed(Guard::FullLook)) {
                known_first = false;
                check_interrupts()?;
                continue;
            }
            // Their first work is being taken by other calls. What is behind it may be due before they commit.
            for lane in lanes.iter().filter(|_| !sabotage::removed(Guard::NextDue)) {
                let next = Self::read(|| queue.first_after(lane, now))?.map(|next| next.not_before);
                due_at = [due_at, next].into_iter().flatten().min();
            }
            return Ok(Found::Nothing { others, due_at });
        }
    }

    /// Reads the queue, and keeps no lock on its index. A REINDEX has the table locked against writes before it waits
    /// for the index, and would wait for a call that waits for the table.
    fn read<R>(look: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
        lookup_locks::given_back(|| scratch(look))
    }

    /// Locks the first work of the lanes, which are in their order. Where the first work of one is locked, what follows
    /// it has its place among the others: an open transaction holds up what it has locked, and nothing behind it.
    fn lock(&self, queue: &Queue, lanes: &[Lane], now: TimestampTz) -> Result<Locked, Error> {
        let mut locked = Locked::default();
        if !lanes.is_empty() {
            hand_out::lock_table(queue.tables)?;
        }
        let mut lanes: VecDeque<Cow<Lane>> = lanes.iter().map(Cow::Borrowed).collect();
        while locked.rows.len() < self.max_rows
            && let Some(lane) = lanes.pop_front()
        {
            let next = lanes.front().filter(|next| next.class() == lane.class());
            let next = next.map(|next| (next.not_before, next.work_id));
            if let Some(rest) = locked.add(queue, &lane, next, now, self.max_rows)? {
                let at = lanes.partition_point(|other| other.rank() < rest.rank());
                lanes.insert(at, Cow::Owned(rest));
                check_interrupts()?;
            }
        }
        Ok(locked)
    }

    fn known(&self, queue: &Queue, now: TimestampTz) -> Result<Option<Vec<Lane>>, Error> {
        lookout::known(queue, &self.service(), self.wishes, |lane| lane.is_due(now))
    }

    fn all(&self, queue: &Queue) -> Result<Vec<Lane>, Error> {
        lookout::all(queue, &self.service(), self.wishes)
    }

    fn service(&self) -> Service<'_> {
        Service { cluster: &self.acting.cluster, host: &self.acting.host }
    }

    /// Wakes calls for work that is there still. One of them may have rung for this call, which takes no more.
    fn ring_for_the_rest(&self) -> Result<(), Error> {
        // SAFETY: reads the clock.
        let now = unsafe { pg_sys::GetCurrentTimestamp() };
        let lanes = lookup_locks::given_back(|| {
            let tables = Tables::open()?;
            let queue = Queue::of(&tables, &self.acting.cluster)?;
            self.known(&queue, now)?.map_or_else(|| self.all(&queue), Ok)
        })?;
        for lane in lanes {
            lane.ring(&self.acting.cluster).now();
        }
        Ok(())
    }

    /// Wakes the next call for work that this one must not take. The bells are taken anew, so that others come first;
    /// each call does so once for a piece of work.
    fn pass_on(&self, others: Vec<Lane>, passed_on: &mut Vec<i64>, bells: &mut Bells) -> Result<(), Error> {
        let is_news = |lane: &Lane| !passed_on.contains(&lane.work_id);
        let news: Vec<Lane> = others.into_iter().filter(is_news).collect();
        if news.is_empty() {
            return Ok(());
        }
        bells.leave();
        bells.take()?;
        for lane in news {
            lane.ring(&self.acting.cluster).now();
            passed_on.push(lane.work_id);
        }
        Ok(())
    }

    fn hand_out(&self, tables: &Tables, rows: &[HeapTuple]) -> Result<Vec<HandedOut>, Error> {
        let tokens = token::draw_for(tables, rows)?;
        hand_out::hand_out(tables, rows, &tokens, self.service_id, self.request_id.and_then(arg))
    }
}

/// The time until then; without end if it is none.
fn until(at: Option<TimestampTz>) -> Duration {
    let Some(at) = at else {
        return Duration::MAX;
    };
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    Duration::from_micros(at.saturating_sub(now).max(0).unsigned_abs())
}
