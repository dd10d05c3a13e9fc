//! The wait queues of a call: one per lock, another one per work slot.

use super::request::Wanted;
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use crate::wait::{Deadline, WaitQueue};

/// How often a call is overtaken before it insists.
const MOST_OVERTAKEN: u32 = 3;

/// The queues of a call, in an order that is the same for every call, and which of them it heads.
///
/// A call that waits heads the queue in which it waits and no other. So it keeps no other call from a free lock, and
/// can't be part of a deadlock. But it can be overtaken: while it waits for one lock, another one that it has waited
/// for is taken again. After a few times it *insists*: it queues for all its locks, in order, and leaves no queue until
/// it heads all of them. A call that insists heads some queues while it waits for a later one. So calls that insist
/// can't wait for each other in a circle either.
pub struct Queues {
    entries: Vec<Entry>,
    overtaken: u32,
    insisting: bool,
}

struct Entry {
    queue: WaitQueue,
    headed: bool,
    waited: bool,
}

impl Queues {
    pub fn of(locks: &[Wanted]) -> Self {
        let keys = locks.iter().map(Wanted::queue);
        let work = locks.iter().filter_map(Wanted::work_queue);
        let entry = |queue| Entry { queue, headed: false, waited: false };
        let mut entries: Vec<Entry> = keys.chain(work).map(entry).collect();
        if !sabotage::removed(Guard::QueueOrder) {
            entries.sort_unstable_by_key(|entry| entry.queue.order());
        }
        Queues {
            entries,
            overtaken: 0,
            // If a test has removed the guard, a call insists from the start.
            insisting: sabotage::removed(Guard::GiveWay),
        }
    }

    /// Becomes head of the queues in order, up to the first one that another call heads. Returns that one, if any.
    pub fn head_free_ones(&mut self) -> Result<Option<WaitQueue>, Error> {
        for entry in self.entries.iter_mut().filter(|entry| !entry.headed) {
            entry.headed = entry.queue.try_head()?;
            if !entry.headed {
                return Ok(Some(entry.queue));
            }
        }
        Ok(None)
    }

    pub fn heads(&self, queue: WaitQueue) -> bool {
        self.entries[self.position(queue)].headed
    }

    pub fn heads_all(&self) -> bool {
        self.entries.iter().all(|entry| entry.headed)
    }

    /// Leaves all other queues, unless the call insists.
    pub fn give_way_but_in(&mut self, queue: WaitQueue) {
        let kept = self.position(queue);
        self.entries[kept].waited = true;
        if self.insisting {
            return;
        }
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if at != kept {
                entry.leave();
            }
        }
    }

    /// Waits until head of the queue; false if the time ran out first. `before_wait` is called before each wait.
    pub fn wait_in(
        &mut self,
        queue: WaitQueue,
        deadline: &Deadline,
        mut before_wait: impl FnMut(WaitQueue) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let at = self.position(queue);
        self.overtaken += u32::from(self.entries[at].waited);
        self.insisting |= self.overtaken >= MOST_OVERTAKEN && !sabotage::removed(Guard::Insist);
        self.leave();
        if !self.insisting {
            let entry = &mut self.entries[at];
            entry.waited = true;
            return entry.wait(deadline, &mut before_wait);
        }
        for entry in &mut self.entries {
            if !entry.wait(deadline, &mut before_wait)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Leaves all queues.
    pub fn leave(&mut self) {
        self.entries.iter_mut().for_each(Entry::leave);
    }

    fn position(&self, queue: WaitQueue) -> usize {
        let same = |entry: &Entry| entry.queue == queue;
        self.entries.iter().position(same).expect("a queue of this call")
    }
}

impl Entry {
    fn wait(
        &mut self,
        deadline: &Deadline,
        before_wait: &mut impl FnMut(WaitQueue) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        self.headed = self.queue.try_head()?;
        if !self.headed {
            before_wait(self.queue)?;
            self.headed = self.queue.become_head(deadline)?;
        }
        Ok(self.headed)
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.headed) {
            self.queue.leave();
        }
    }
}
